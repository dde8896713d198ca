"""The standard benchmark sets, in the folder layout of CoOp's instructions."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mocoop.datasets.base import check_class_names
from mocoop.datasets.benchmark_readers import (
    Benchmark,
    Counts,
    Reader,
    read_aircraft,
    read_coop,
    read_imagenet,
    read_numbered,
    read_shifted,
)
from mocoop.datasets.builtin import BUILTIN
from mocoop.datasets.edits import read_edits
from mocoop.datasets.folder import FolderDataset
from mocoop.errors import UserError, choose_from
from mocoop.templates import TemplateSet, load_templates
from mocoop.user_paths import folder_setting


@dataclass(frozen=True)
class BenchmarkDataset(FolderDataset):
    """A benchmark set, with the published size of its split."""

    published: Counts = field(default_factory=Counts)
    """Size of the published split, to compare with."""

    def __post_init__(self) -> None:
        # ImageNet's list has two classes called missile and two called sunglasses, and published
        # results use these names. The readers of the other sets refuse equal names themselves.
        check_class_names(tuple(dict.fromkeys(self.class_names)))


def _coop(folder: str, images: str, split: str, **more: Any) -> Benchmark:
    """Returns the record of a set that has one of CoOp's split files."""
    file = f"{folder}/split_zhou_{split}.json"
    path = f"{folder}/{images}".rstrip("/")
    layout = f"{path}/ (images) and {file}"
    return Benchmark(path, read_coop, layout, split=file, **more)


def _shifted(
    images: str, num_classes: int, num_images: int, read: Reader = read_shifted
) -> Benchmark:
    """Returns the record of a variant of ImageNet; it has ImageNet's classes and templates."""
    folders = "0 to 999" if read is read_numbered else "<WordNet id>"
    layout = f"{images}/ ({folders}, each with images) and imagenet/classnames.txt"
    return Benchmark(
        images, read, layout, templates="imagenet", published=Counts(num_classes, 0, 0, num_images)
    )


TABLE: dict[str, Benchmark] = {
    "imagenet": Benchmark(
        "imagenet/images",
        read_imagenet,
        "imagenet/images/train/ and imagenet/images/val/ (<WordNet id>, each with images) and "
        "imagenet/classnames.txt (lines such as 'n01440764 tench')",
        published=Counts(1000, 1_281_167, 50_000, 50_000),
    ),
    "caltech101": _coop(
        "caltech-101",
        "101_ObjectCategories",
        "Caltech101",
        ignored=("BACKGROUND_Google", "Faces_easy"),
        renamed={
            "airplanes": "airplane",
            "Faces": "face",
            "Leopards": "leopard",
            "Motorbikes": "motorbike",
        },
        published=Counts(100, 4128, 1649, 2465),
    ),
    "oxford_pets": _coop(
        "oxford_pets",
        "images",
        "OxfordPets",
        class_folders=False,
        published=Counts(37, 2944, 736, 3669),
    ),
    "stanford_cars": _coop(
        "stanford_cars",
        "",  # the paths in the split file already start with cars_train or cars_test
        "StanfordCars",
        class_folders=False,
        published=Counts(196, 6509, 1635, 8041),
    ),
    "oxford_flowers": _coop(
        "oxford_flowers",
        "jpg",
        "OxfordFlowers",
        class_folders=False,
        published=Counts(102, 4093, 1633, 2463),
    ),
    "food101": _coop(
        "food-101", "images", "Food101", published=Counts(101, 50_500, 20_200, 30_300)
    ),
    "fgvc_aircraft": Benchmark(
        "fgvc_aircraft/images",
        read_aircraft,
        "fgvc_aircraft/images/, fgvc_aircraft/variants.txt and "
        "fgvc_aircraft/images_variant_{train,val,test}.txt",
        published=Counts(100, 3334, 3333, 3333),
    ),
    "sun397": _coop("sun397", "SUN397", "SUN397", published=Counts(397, 15_880, 3970, 19_850)),
    "dtd": _coop("dtd", "images", "DescribableTextures", published=Counts(47, 2820, 1128, 1692)),
    "eurosat": _coop(
        "eurosat",
        "2750",
        "EuroSAT",
        renamed={
            "AnnualCrop": "Annual Crop Land",
            "HerbaceousVegetation": "Herbaceous Vegetation Land",
            "Highway": "Highway or Road",
            "Industrial": "Industrial Buildings",
            "Pasture": "Pasture Land",
            "PermanentCrop": "Permanent Crop Land",
            "Residential": "Residential Buildings",
            "SeaLake": "Sea or Lake",
        },
        published=Counts(10, 13500, 5400, 8100),
    ),
    "ucf101": _coop(
        "ucf101", "UCF-101-midframes", "UCF101", published=Counts(101, 7639, 1898, 3783)
    ),
    "imagenetv2": _shifted(
        "imagenetv2/imagenetv2-matched-frequency-format-val", 1000, 10_000, read_numbered
    ),
    "imagenet_sketch": _shifted("imagenet-sketch/images", 1000, 50_889),
    "imagenet_a": _shifted("imagenet-adversarial/imagenet-a", 200, 7500),
    "imagenet_r": _shifted("imagenet-rendition/imagenet-r", 200, 30_000),
}

BENCHMARKS = tuple(TABLE)


def data_root() -> Path:
    """Returns the folder of the benchmark sets: MOCOOP_DATA, or ./data."""
    return folder_setting("MOCOOP_DATA", "data")


def images_folder(name: str, root: Path) -> Path:
    """Returns the folder of a benchmark set's images.

    Raises:
        UserError: if the folder does not exist.
    """
    benchmark = TABLE[name]
    images = root / benchmark.images
    if not images.is_dir():
        raise UserError(
            f"{images}: no such folder. The benchmark set {name} is expected below {root} "
            f"(set MOCOOP_DATA to another folder) as {benchmark.layout}. The built-in sets "
            f"({', '.join(BUILTIN)}) need no files. For a folder of your own, give ./{name}."
        )
    return images


def load_benchmark(name: str, root: Path, whole: bool = True) -> BenchmarkDataset:
    """Returns a benchmark set; its classes have the order of its split file or class list.

    It checks only that the first image of each class exists; `missing_files` checks all images.

    Args:
        name: one of `BENCHMARKS`.
        root: the data root, which contains the set's folder.
        whole: raise an error if the first image of a class is missing.

    Raises:
        UserError: for an unknown name, a missing folder, an incomplete set, or damaged lists.
    """
    if name not in TABLE:
        raise choose_from("benchmark set", name, BENCHMARKS)
    benchmark = TABLE[name]
    images = images_folder(name, root)
    contents = benchmark.read(benchmark, root)
    folder = root / benchmark.folder
    read = BenchmarkDataset(
        name,
        contents.class_names,
        contents.splits,
        load_templates(benchmark.templates or name),
        images,
        contents.labels,
        folder,
        contents.note,
        published=benchmark.published,
    )
    dataset = read.edited(read_edits(folder), folder)
    if whole:
        _check_extracted(dataset)
    return dataset


def split_templates(split_file: str) -> TemplateSet:
    """Returns the templates of the set to which one of CoOp's split files belongs."""
    sets = (
        name for name, row in TABLE.items() if row.split and Path(row.split).name == split_file
    )
    return load_templates(next(sets, "photos"))


def missing_files(dataset: FolderDataset) -> list[str]:
    """Returns the paths of all missing images, each once, in item order."""
    paths = dict.fromkeys(item.id for items in dataset.splits.values() for item in items)
    return [path for path in paths if not (dataset.root / path).is_file()]


def _check_extracted(dataset: FolderDataset) -> None:
    """Raises UserError if the first image of any class is missing."""
    first: dict[int, str] = {}
    for items in dataset.splits.values():
        for item in items:
            first.setdefault(item.label, item.id)
    if all((dataset.root / path).is_file() for path in first.values()):
        return
    missing = missing_files(dataset)
    raise UserError(
        f"{dataset.root} is incomplete: {len(missing)} listed images are missing, the first is "
        f"{missing[0]}. Extract the archive again."
    )
