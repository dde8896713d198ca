"""Makes odd folders of images, as people have them, and says what must come out of each."""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.support.image_files import add_files


@dataclass(frozen=True)
class Layout:
    """An odd folder: its images, other files, and the right outcome."""

    folders: dict[str, int]
    """Folder → how many images are put into it."""
    classes: tuple[str, ...] = ("cat", "dog")
    tested: str = ""
    """Part of the path that every test image has, and no training image."""
    says: str = ""
    """What the remarks must contain."""
    others: tuple[str, ...] = field(default=())
    """Other files, which are no pictures."""

    def write(self, root):
        """Writes the folder's files below `root`."""
        for folder, count in self.folders.items():
            add_files(root, *(f"{folder}/{number}.png" for number in range(count)))
        for name in self.others:
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            (root / name).write_text("text")


def parts(*folders, classes=("cat", "dog"), count=3):
    """Returns folder/class → the number of images, for all folders and classes."""
    return {f"{folder}/{name}": count for folder in folders for name in classes}


LAYOUTS = {
    "Training and Testing": Layout(parts("Training", "Testing"), tested="Testing/"),
    "Train and Test": Layout(parts("Train", "Test"), tested="Test/"),
    "upper case": Layout(parts("TRAIN", "VAL", "TEST"), tested="TEST/", says="test: TEST/"),
    "train and validation": Layout(
        parts("training", "validation"),
        tested="validation/",
        says="the validation images are tested on",
    ),
    "train and valid": Layout(parts("train", "valid"), tested="valid/"),
    "train, dev and eval": Layout(parts("train", "dev", "eval"), tested="eval/"),
    "train_set and test_set": Layout(parts("train_set", "test_set"), tested="test_set/"),
    "twice the same name": Layout(
        {**parts("seg_train/seg_train", "seg_test/seg_test"), "seg_pred/seg_pred": 2},
        tested="seg_test/",
        says="2 files were left aside (not in the layout or the list): seg_pred/seg_pred/0.png",
    ),
    "a split in every class": Layout(
        parts("cat", "dog", classes=("train", "test")), tested="/test/", says="split in each"
    ),
    "a split in every domain": Layout(
        parts("photo/train", "photo/test", "sketch/train", "sketch/test"), tested="/test/"
    ),
    "Office-31": Layout(
        parts("amazon/images", "dslr/images", "webcam/images", count=4),
        says="read as domains with the same class folders (amazon, dslr, webcam): 2 classes; "
        "12 train, 6 val, 6 test",
    ),
    "wrappers and a licence": Layout(
        parts("pets/pets/train", "pets/pets/test"),
        tested="test/",
        others=("LICENSE.txt",),
        says="1 file was left aside (not a picture that MoCoOp reads): LICENSE.txt",
    ),
    "other case in the test part": Layout(
        {**parts("train"), "test/Cat": 3, "test/DOG": 3}, tested="test/"
    ),
    "accents stored differently": Layout(
        {**parts("train", classes=("caf\u00e9", "dog")), "test/cafe\u0301": 3, "test/dog": 3},
        classes=("caf\u00e9", "dog"),
        tested="test/",
    ),
    "one class, two spellings": Layout(
        {"caf\u00e9": 3, "cafe\u0301": 3, "dog": 3}, classes=("caf\u00e9", "dog")
    ),
    "a vehicle called train": Layout(
        {"bus": 3, "train": 3},
        classes=("bus", "train"),
        says="warning: train/ was read as a class",
    ),
    "a folder called images": Layout(
        {"cat": 3, "images": 3}, classes=("cat", "images"), says="warning: images/ was read"
    ),
    "seg_train as a class": Layout(
        {"sea": 3, "seg_train": 3}, classes=("sea", "seg train"), says="warning: seg_train/ was"
    ),
    "numbers as names": Layout(
        {str(number): 2 for number in range(12)}, classes=tuple(map(str, range(12)))
    ),
    "loose pictures": Layout(
        {"cat": 3, "dog": 3, ".": 2},
        says="2 files were left aside (not in the layout or the list)",
    ),
}
"""Name → an odd folder that is read."""

REFUSED = {
    "test pictures as a class": ({"train": 3, "test": 3}, "test images would be trained on"),
    "a split in some classes": (
        {**parts("cat", classes=("train", "test")), "dog": 3},
        r"cat/ has folders for training and testing, but dog/ has not",
    ),
    "the same split twice": (parts("train", "Test", "testing"), r"Test/ and testing/, which mean"),
    "only test images": (parts("Test"), r"has Test/ but no train/"),
}
"""Name → folder's images, and the words of the refusal."""
