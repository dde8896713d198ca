"""The user's own images: domains, tables, class names, mocoop.yaml and the skip list."""

from __future__ import annotations

import json
import os
from dataclasses import replace

import pytest
import yaml

from mocoop.datasets import dataset_name, load_dataset
from mocoop.datasets.class_folders import tidy
from mocoop.datasets.edits import (
    BACKUP_FILE,
    EDITS_FILE,
    Edits,
    read_edits,
    write_edits,
)
from mocoop.datasets.skip_list import OLD_SKIP_FILE, SKIP_FILE, add_skipped
from mocoop.errors import UserError
from tests.support.image_files import add_files, picture_bytes


def labels_of(data, split):
    """Returns (id, class name, style) of a split's items."""
    return [(i.id, data.class_names[i.label], i.style) for i in data.items(split)]


@pytest.fixture
def pets(tmp_path):
    """A folder of two classes."""
    add_files(tmp_path / "pets", *(f"{c}/{n}.png" for c in ("cat", "GuineaPig") for n in range(6)))
    return tmp_path / "pets"


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("golden_retriever", "golden retriever"),
        ("GoldenRetriever", "golden retriever"),
        ("001.GoldenRetriever", "golden retriever"),
        ("SmileyFace", "smiley face"),
        ("Cat", "Cat"),
        ("001.Black_footed_Albatross", "Black footed Albatross"),
        ("07_monkeys", "monkeys"),
        ("USBCable", "USB cable"),
        ("McDonald", "McDonald"),
        ("iPhone", "iPhone"),
        ("2012_Audi_TTS", "2012 Audi TTS"),
        ("707-320", "707-320"),
        ("7", "7"),
        ("n01440764", "n01440764"),
        ("  a   b ", "a b"),
        ("Köln_Dom", "Köln Dom"),
    ],
)
def test_tidied_names(label, name):
    assert tidy(label) == name


def test_names_that_say_nothing():
    with pytest.raises(UserError, match=r"Class '---' has no letter or digit"):
        tidy("---")


def test_names_that_are_not_utf8(tmp_path):
    """A folder or file of another encoding is named by its bytes."""
    add_files(tmp_path / "a", "cat/1.png", "cat/2.png")
    os.mkdir(os.fsencode(tmp_path / "a") + b"/caf\xe9")
    with pytest.raises(UserError, match=r"b'caf\\xe9' is not written in UTF-8.*Rename"):
        load_dataset(str(tmp_path / "a"))
    add_files(tmp_path / "b", "cat/1.png", "dog/1.png")
    with open(os.fsencode(tmp_path / "b") + b"/cat/\xff.png", "wb") as file:
        file.write(picture_bytes("x"))
    with pytest.raises(UserError, match=r"xff.png' is not written in UTF-8"):
        load_dataset(str(tmp_path / "b"))


def test_links(tmp_path, pets):
    """A link to a class folder is followed; one that leads in a circle is refused."""
    add_files(tmp_path, *(f"elsewhere/{n}.png" for n in range(4)))
    (pets / "hamster").symlink_to(tmp_path / "elsewhere")
    assert "hamster" in load_dataset(str(pets)).class_names
    (pets / "cat" / "again").symlink_to(pets / "cat")
    with pytest.raises(UserError, match=r"again is a link to a folder above it.*Remove the link"):
        load_dataset(str(pets))


def test_a_link_to_nothing_is_reported_when_it_is_read(pets):
    (pets / "cat" / "gone.png").symlink_to(pets / "nowhere.png")
    data = load_dataset(str(pets))
    every = [item.id for items in data.splits.values() for item in items]
    assert "cat/gone.png" in every


@pytest.mark.parametrize("val", ["val", "valid", "validation"])
def test_other_words_for_splits(tmp_path, val):
    for split, count in (("training", 3), (val, 1), ("testing", 2)):
        add_files(tmp_path, *(f"{split}/{c}/{n}.png" for c in ("a", "b") for n in range(count)))
    data = load_dataset(str(tmp_path))
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [6, 2, 4]
    assert data.note == "your own split"
    add_files(tmp_path, "test/a/1.png", "test/b/1.png")
    with pytest.raises(UserError, match=r"has test/ and testing/, which mean the same"):
        load_dataset(str(tmp_path))


def test_domains(tmp_path):
    """Folders of the same classes are domains: the images' styles."""
    for domain in ("photo", "art_painting", "sketch"):
        add_files(tmp_path / "pacs", *(f"{domain}/{c}/{n}.png" for c in ("dog", "elephant")
                                       for n in range(10)))  # fmt: skip
    add_files(tmp_path / "pacs", *(f"sketch/horse/{n}.png" for n in range(10)))
    data = load_dataset(str(tmp_path / "pacs"))
    assert data.class_names == ("dog", "elephant", "horse")
    assert set(data.styles) == {"art painting", "photo", "sketch"}
    assert "in each domain" in data.note
    for split, count in (("train", 5), ("val", 2), ("test", 3)):
        of = [(name, style) for _, name, style in labels_of(data, split)]
        assert {pair: of.count(pair) for pair in of} == dict.fromkeys(of, count)
        assert len(set(of)) == 7
    ids = [item.id for items in data.splits.values() for item in items]
    assert len(ids) == len(set(ids)) == 70
    assert all(
        style.replace(" ", "_") == i.split("/")[0] for i, _, style in labels_of(data, "test")
    )


def test_nested_classes_are_no_domains(tmp_path):
    """Classes whose folders have other folders in them stay classes."""
    add_files(tmp_path, "cat/young/1.png", "cat/old/1.png", "dog/big/1.png", "dog/small/1.png")
    assert load_dataset(str(tmp_path)).class_names == ("cat", "dog")


def write_table(folder, text, name="pets.csv", encoding="utf-8"):
    """Writes a table and images for the paths in its first column."""
    folder.mkdir(exist_ok=True)
    (folder / name).write_text(text, encoding=encoding)
    return str(folder / name)


ROWS = [("a.png", "cat", "train"), ("b.png", "dog", "train"), ("c.png", "cat", "val"),
        ("d.png", "dog", "test"), ("e.png", "cat", "test")]  # fmt: skip


@pytest.mark.parametrize("comma", [",", ";", "\t"])
def test_table_with_splits(tmp_path, comma):
    lines = [comma.join(row) for row in [("path", "Label", "split"), *ROWS]]
    add_files(tmp_path, *(path for path, *_ in ROWS))
    data = load_dataset(write_table(tmp_path, "\ufeff" + "\r\n".join(lines) + "\r\n\r\n"))
    assert (data.name, dataset_name(str(tmp_path / "pets.csv"))) == ("pets", "pets")
    assert labels_of(data, "test") == [("e.png", "cat", None), ("d.png", "dog", None)]
    assert len(data.items("val")) == 1
    assert data.note == "the split of pets.csv"
    assert data.image(data.items("train")[0]).size == (6, 5)


@pytest.mark.parametrize(
    "text",
    [
        "\n\npath,label\n{}",  # empty lines first
        '"path", "label"\n{}',  # a space after the comma
        "  \n ; \npath;label\n{}",
        "\nsep=;\npath;label\n{}",
    ],
)
def test_tables_that_begin_otherwise(tmp_path, text):
    comma = ";" if ";" in text else ","
    rows = [comma.join((f"{c}{n}.png", c)) for c in "ab" for n in range(4)]
    data = load_dataset(write_table(tmp_path, text.format("\n".join(rows))))
    assert (data.class_names, data.layout) == (("a", "b"), "the table pets.csv")
    with pytest.raises(UserError, match=rf"line {text.count(chr(10)) + 1}: expected a label"):
        load_dataset(write_table(tmp_path, text.format(f"a.png{comma}\n")))


def test_table_without_splits_and_with_styles(tmp_path):
    rows = [f"{c}{n}.png,{c},{'dark' if n % 2 else 'light'}" for c in "ab" for n in range(10)]
    data = load_dataset(write_table(tmp_path, "path,label,style\n" + "\n".join(rows)))
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [8, 4, 8]
    assert set(data.styles) == {"dark", "light"}
    assert "made by MoCoOp" in data.note


def test_table_without_validation_rows(tmp_path):
    rows = [f"{c}{n}.png,{c},{'test' if n == 9 else 'train'}" for c in "ab" for n in range(10)]
    data = load_dataset(write_table(tmp_path, "path,label,split\n" + "\n".join(rows)))
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [14, 4, 2]
    assert "a fifth of train" in data.note


def test_table_in_parquet_and_absolute_paths(tmp_path):
    parquet = pytest.importorskip("pyarrow.parquet")
    pyarrow = pytest.importorskip("pyarrow")
    add_files(tmp_path / "far", "a.png", "b.png", "c.png", "d.png")
    paths = [str(tmp_path / "far" / name) for name in ("a.png", "b.png", "c.png", "d.png")]
    table = pyarrow.table({"path": paths, "label": [0.0, 1.0, 0.0, 1.0],
                           "split": ["train", "train", "test", "test"]})  # fmt: skip
    parquet.write_table(table, tmp_path / "pets.parquet")
    data = load_dataset(str(tmp_path / "pets.parquet"))
    assert data.class_names == ("0", "1")
    assert data.image(data.items("test")[0]).mode == "RGB"
    (tmp_path / "pets.parquet").write_bytes(b"no parquet")
    with pytest.raises(UserError, match="cannot be read as a Parquet file"):
        load_dataset(str(tmp_path / "pets.parquet"))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"has no column 'path': expected path and label.*got none"),
        ("width,label\na.png,cat\n", r"has no column 'path': .*got width, label"),
        ("path,label\n", "has no row"),
        ("path,label\na.png,\n", r"line 2: expected a label for a.png; got none"),
        ("path,label\na.png,cat\n,dog\n", r"line 3: expected the path of an image"),
        (
            "path,label\na.png,cat\nb.png,dog\na.png,dog\n",
            r"line 4: a.png is already listed in line 2",
        ),
        (
            "path,label,split\na.png,cat,train\nb.png,dog,tset\n",
            r"line 3: expected a split train.*",
        ),
        ("path,label,split\na.png,cat,train\nb.png,dog,train\n", r"no row of the split test"),
        (
            "path,label,split\na.png,cat,train\nb.png,dog,train\nc.png,dgo,test\n",
            r"line 4: no training image has the label 'dgo', so there is no such class\. Did you "
            r"mean 'dog'\?",
        ),
        ("path,label\na.png,cat\nb.png,cat\n", "at least two classes"),
        ("path,label\na\0.png,cat\nb.png,dog\n", r"line 2: expected the path .*'a\\x00.png'"),
        ("path,label\na.png,c\0t\nb.png,dog\n", r"class name 'c\\x00t' has the character NUL"),
        ("path,label\na.png,golden_cat\nb.png,golden cat\n", "same name 'golden cat'"),
    ],
)
def test_tables_that_do_not_fit(tmp_path, text, message):
    with pytest.raises(UserError, match=message):
        load_dataset(write_table(tmp_path, text))


def test_a_table_in_another_encoding(tmp_path):
    with pytest.raises(UserError, match=r"pets.csv is not written in UTF-8"):
        load_dataset(write_table(tmp_path, "path,label\na.png,café\n", encoding="latin-1"))


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("pets.zip", r"is damaged or not a supported archive"),
        ("pets.7z", r"is an archive of another kind\. Extract it"),
        ("pets.json", r"pets.json is not a split file of CoOp"),
        ("pets.txt", r"is not a data set\. Expected a folder of class folders, a zip"),
    ],
)
def test_other_files(tmp_path, name, message):
    (tmp_path / name).write_text("x")
    with pytest.raises(UserError, match=message):
        load_dataset(str(tmp_path / name))


def test_edits_rename_classes_and_bring_templates(pets):
    groups = {"photo": ("a photo of a {}.",), "toy": ("a toy {}.", "a plush {}.")}
    write_edits(pets, Edits({"GuineaPig": "cavy"}, "a pet {}.", groups))
    data = load_dataset(str(pets))
    assert data.class_names == ("cavy", "cat")  # the order is still that of the folders
    assert data.labels == ("GuineaPig", "cat")
    assert data.templates.zero_shot == "a pet {}."
    assert data.templates.groups == groups
    assert read_edits(pets) == Edits({"GuineaPig": "cavy"}, "a pet {}.", groups)
    assert yaml.safe_load((pets / EDITS_FILE).read_text())["groups"]["toy"] == list(groups["toy"])


def test_edits_tell_equal_names_apart(pets):
    add_files(pets, *(f"guinea_pig/{n}.png" for n in range(3)))
    (pets / EDITS_FILE).write_text("classes:\n  guinea_pig: wild cavy\n")
    assert load_dataset(str(pets)).class_names == ("guinea pig", "cat", "wild cavy")


NOTED = """# Mine, do not touch.
classes:   # the folders' codes
  GuineaPig: cavy  # as breeders say

# About words.
zero_shot: "a pet {}."
"""
GROUPS = {"photo": ("a photo of a {}.",), "toy": ("a toy {}.", "a plush {}.")}


def test_new_groups_leave_the_rest_of_the_file_alone(pets):
    """Groups go to the end; names, words and comments stay to the letter, without a copy."""
    (pets / EDITS_FILE).write_text(NOTED)
    write_edits(pets, replace(read_edits(pets), groups=GROUPS))
    text = (pets / EDITS_FILE).read_text()
    assert text.startswith(NOTED)
    assert read_edits(pets) == Edits({"GuineaPig": "cavy"}, "a pet {}.", GROUPS)
    assert not (pets / BACKUP_FILE).exists()


@pytest.mark.parametrize("last", ["", "\n# At the end.\n", "zero_shot: a {}.\n"])
def test_replaced_groups_keep_comments_and_the_old_file(pets, last):
    """Only the groups' own lines change, and the file as it was lies beside it."""
    old = "# Mine.\nclasses: {cat: tomcat}  # him\ngroups:\n  # first\n  a: ['a {}.']\n" + last
    (pets / EDITS_FILE).write_text(old)
    before = read_edits(pets)
    write_edits(pets, replace(before, groups=GROUPS))
    text = (pets / EDITS_FILE).read_text()
    assert text.startswith("# Mine.\nclasses: {cat: tomcat}  # him\n")
    assert last.strip() in text
    assert "# first" not in text
    assert read_edits(pets) == replace(before, groups=GROUPS)
    assert (pets / BACKUP_FILE).read_text() == old
    load_dataset(str(pets))


def test_numbers_as_folder_names_are_no_change(tmp_path):
    """What YAML reads as a number stays as it is written."""
    old = "classes:  # codes\n  7: seven\nzero_shot:\n"
    (tmp_path / EDITS_FILE).write_text(old)
    write_edits(tmp_path, replace(read_edits(tmp_path), groups=GROUPS))
    assert (tmp_path / EDITS_FILE).read_text().startswith(old)
    assert read_edits(tmp_path) == Edits({"7": "seven"}, None, GROUPS)
    assert not (tmp_path / BACKUP_FILE).exists()


def test_names_that_mean_something_in_yaml(tmp_path):
    """Folders are often called yes and no; their names count as they are written."""
    add_files(tmp_path, *(f"{name}/{n}.png" for name in ("no", "yes", "010") for n in range(3)))
    old = "classes:\n  yes: tumour\n  no: no\n  010: 1e3  # code\n"
    (tmp_path / EDITS_FILE).write_text(old)
    assert load_dataset(str(tmp_path)).class_names == ("1e3", "no", "tumour")
    write_edits(tmp_path, replace(read_edits(tmp_path), groups=GROUPS))
    assert (tmp_path / EDITS_FILE).read_text().startswith(old)
    classes = {"yes": "tumour", "no": "healthy", "010": "1e3"}
    write_edits(tmp_path, replace(read_edits(tmp_path), classes=classes))
    assert read_edits(tmp_path) == Edits(classes, None, GROUPS)


def test_a_file_that_cannot_be_changed_in_parts(pets):
    """It is written anew, and kept as it was."""
    old = "{classes: {cat: tomcat}, groups: {a: [a {}.]}}"
    (pets / EDITS_FILE).write_text(old.replace("[a {}.]", "['a {}.']"))
    write_edits(pets, replace(read_edits(pets), groups=GROUPS))
    assert read_edits(pets) == Edits({"cat": "tomcat"}, None, GROUPS)
    assert (pets / BACKUP_FILE).exists()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("classes: [a", r"mocoop.yaml cannot be read: .*Fix or remove"),
        ("- a\n", r"expected lines such as"),
        ("clases:\n  cat: x\n", r"unknown key 'clases'.*Did you mean 'classes'"),
        ("classes: [cat]\n", r"expected classes as lines"),
        ("classes:\n  cat:\n", r"expected classes as lines"),
        ("classes:\n  kat: tomcat\n", r"renames 'kat', but no class .*Did you mean 'cat'"),
        ("classes:\n  cat: Guinea Pig\n", r"Two classes have the same name 'guinea pig'"),
        ("zero_shot: a photo\n", r"mocoop.yaml: A template needs {} exactly once"),
        ("zero_shot: [a]\n", r"expected zero_shot to be one template"),
        ("groups:\n  photo: a photo\n", r"mocoop.yaml: A template needs {}"),
        ("groups: [a]\n", r"mocoop.yaml: Groups are expected"),
    ],
)
def test_edits_that_do_not_fit(pets, text, message):
    (pets / EDITS_FILE).write_text(text)
    with pytest.raises(UserError, match=message):
        load_dataset(str(pets))


def test_skipped_images(pets):
    before = load_dataset(str(pets))
    gone = [before.items("train")[0].id, before.items("test")[0].id]
    add_skipped(pets, {gone[0]: "damaged\nfile"})
    add_skipped(pets, dict.fromkeys(gone, "again"))
    data = load_dataset(str(pets))
    ids = {item.id for items in data.splits.values() for item in items}
    assert ids == {i.id for items in before.splits.values() for i in items} - set(gone)
    assert data.left_out == 2
    assert data.remarks[-1] == f"2 images are skipped (listed in {SKIP_FILE})"
    lines = [json.loads(line) for line in (pets / SKIP_FILE).read_text().splitlines()]
    assert lines == [
        {"image": gone[0], "reason": "damaged file"},
        {"image": gone[1], "reason": "again"},
    ]
    # Skipping does not move the other images between the splits.
    assert set(data.items("val")) <= set(before.items("val"))


@pytest.mark.parametrize(
    "name", ["#1 fan", "a\tb", "line\nend", "two\u2028lines", '"quoted"', "#"]
)
def test_skipping_holds_for_any_name(tmp_path, name):
    add_files(tmp_path, *(f"{c}/{n}.png" for c in (f"{name} x", "dog") for n in range(6)))
    every = {i.id for part in load_dataset(str(tmp_path)).splits.values() for i in part}
    add_skipped(tmp_path, {f"{name} x/1.png": "damaged"})
    add_skipped(tmp_path, {f"{name} x/2.png": "damaged"})
    data = load_dataset(str(tmp_path))
    left = {item.id for part in data.splits.values() for item in part}
    assert every - left == {f"{name} x/1.png", f"{name} x/2.png"}


def test_skip_lists_of_before_are_still_read(pets):
    old = "# Images that MoCoOp skips: one path per line.\ncat/0.png\tdamaged\n\ncat/1.png\n"
    (pets / OLD_SKIP_FILE).write_text(old + "#1 fan/3.png\tdamaged\n")
    assert read_edits(pets).skipped == {"cat/0.png", "cat/1.png", "#1 fan/3.png"}
    add_skipped(pets, {"cat/0.png": "known", "cat/2.png": "new"})
    assert load_dataset(str(pets)).left_out == 3
    assert len((pets / SKIP_FILE).read_text().splitlines()) == 1


def test_a_damaged_skip_list_is_named(pets):
    (pets / SKIP_FILE).write_text('{"image": "cat/0.png"}\ncat/1.png\n')
    with pytest.raises(UserError, match=r"mocoop-skip.jsonl, line 2: expected .*Fix or remove"):
        load_dataset(str(pets))


def test_a_class_without_any_image_left(pets):
    add_skipped(pets, {f"cat/{n}.png": "bad" for n in range(6)})
    with pytest.raises(UserError, match=r"mocoop-skip.jsonl skips every image of 'cat'"):
        load_dataset(str(pets))


def test_a_class_without_any_training_image_left(pets):
    train = load_dataset(str(pets)).items("train")
    add_skipped(pets, {item.id: "bad" for item in train if item.id.startswith("cat/")})
    with pytest.raises(UserError, match=r"skips every training image of 'cat'.*made anew once"):
        load_dataset(str(pets))
    add_skipped(pets, {item.id: "bad" for item in train})
    assert load_dataset(str(pets)).items("train") == ()  # for testing only


@pytest.mark.parametrize("untrained", ["sketch/test/emu/0.png", "photo/val/emu/0.png"])
def test_a_class_of_domains_without_training_images(tmp_path, untrained):
    parts = [f"{style}/{part}" for style in ("photo", "sketch") for part in ("train", "test")]
    add_files(tmp_path, *(f"{part}/{c}/{n}.png" for part in parts for c in "ab" for n in range(2)))
    add_files(tmp_path, untrained)
    with pytest.raises(UserError, match="no training image of the class 'emu'"):
        load_dataset(str(tmp_path))
    add_files(tmp_path, "sketch/train/emu/1.png")  # in one domain is enough
    assert load_dataset(str(tmp_path)).class_names == ("a", "b", "emu")


def test_a_split_file_with_an_untrained_class(tmp_path):
    add_files(tmp_path, "images/a/1.jpg", "images/b/1.jpg")
    rows = '{"train": [["a/1.jpg", 0, "a"]], "val": [], "test": [["b/1.jpg", 1, "b"]]}'
    (tmp_path / "split_zhou_Own.json").write_text(rows)
    with pytest.raises(UserError, match=r"no training image of the class 'b'\. Add training"):
        load_dataset(str(tmp_path))


def test_edits_where_nothing_can_be_written(tmp_path):
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"cannot be written .*Make its folder writable"):
        write_edits(tmp_path / "file", Edits())


def test_split_files_bring_their_sets_templates(tmp_path):
    """A benchmark's folder given as a path has the set's own words."""
    add_files(tmp_path, "images/a/1.jpg", "images/b/1.jpg", "images/b/2.jpg")
    train = '[["a/1.jpg", 0, "a"], ["b/2.jpg", 1, "b"]]'
    rows = f'{{"train": {train}, "val": [], "test": [["b/1.jpg", 1, "b"]]}}'
    (tmp_path / "split_zhou_DescribableTextures.json").write_text(rows)
    assert load_dataset(str(tmp_path)).templates.zero_shot == "{} texture."
