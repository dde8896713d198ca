"""Sources of the benchmark sets: public addresses, checksums, terms of use, and target folders.

Addresses, Google Drive ids and layouts come from CoOp's instructions (DATASETS.md of
KaiyangZhou/CoOp) and from the sets' own pages, MD5 sums from torchvision's data sets.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Remote:
    """A file to download."""

    url: str
    """Its address, or `drive:ID` for a file on Google Drive."""
    to: str
    """Target path below the data root: a file, or the folder to which `part` is extracted."""
    part: str | None = None
    """Path inside the archive to extract; "" for the whole archive, None if it is no archive."""
    md5: str = ""
    """Its MD5 sum, if one was published."""
    inner: str = ""
    """Path of an archive inside the archive, if `part` is in that one."""


@dataclass(frozen=True)
class Source:
    """The source of a data set."""

    page: str
    """The set's own page."""
    terms: str
    """The terms of use, in one sentence."""
    files: tuple[Remote, ...] = ()
    """Files that can be downloaded."""
    by_hand: str = ""
    """What users must do themselves; then `files` contains only lists."""


_RESEARCH = "For non-commercial research; the images belong to their owners."
_VGG = "https://www.robots.ox.ac.uk/~vgg/data"
_CLASSNAMES = Remote("drive:1-61f_ol79pViBFDG_IDlUQSwoLcn2XXF", "imagenet/classnames.txt")

SOURCES: dict[str, Source] = {
    "imagenet": Source(
        "https://image-net.org",
        "For non-commercial research and teaching, after signing in and accepting the terms.",
        (_CLASSNAMES,),
        "ImageNet is available to registered users only: sign in at https://image-net.org, get "
        "ILSVRC2012_img_train.tar and ILSVRC2012_img_val.tar, and extract them to "
        "imagenet/images/train/<WordNet id>/ and imagenet/images/val/<WordNet id>/.",
    ),
    "caltech101": Source(
        "https://data.caltech.edu/records/mzrjq-6wc02",
        "Creative Commons Attribution 4.0.",
        (
            Remote(
                "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip",
                "caltech-101/101_ObjectCategories",
                "101_ObjectCategories",
                "3138e1922a9193bfa496528edbbc45d0",
                "caltech-101/101_ObjectCategories.tar.gz",
            ),
            Remote(
                "drive:1hyarUivQE36mY6jSomru6Fjd-JzwcCzN",
                "caltech-101/split_zhou_Caltech101.json",
            ),
        ),
    ),
    "oxford_pets": Source(
        f"{_VGG}/pets/",
        "Creative Commons Attribution-ShareAlike 4.0; the images belong to their owners.",
        (
            Remote(
                f"{_VGG}/pets/data/images.tar.gz",
                "oxford_pets/images",
                "images",
                "5c4f3ee8e5d25df40f4fd59a7f44e54c",
            ),
            Remote(
                "drive:1501r8Ber4nNKvmlFVQZ8SeUHTcdTTEqs",
                "oxford_pets/split_zhou_OxfordPets.json",
            ),
        ),
    ),
    "stanford_cars": Source(
        "https://ai.stanford.edu/~jkrause/cars/car_dataset.html",
        _RESEARCH,
        (
            Remote(
                "drive:1ObCFbaAgVu0I-k_Au-gIUcefirdAuizT",
                "stanford_cars/split_zhou_StanfordCars.json",
            ),
        ),
        "The authors no longer offer the images. If you have cars_train.tgz and cars_test.tgz, "
        "extract them to stanford_cars/cars_train/ and stanford_cars/cars_test/.",
    ),
    "oxford_flowers": Source(
        f"{_VGG}/flowers/102/",
        _RESEARCH,
        (
            Remote(
                f"{_VGG}/flowers/102/102flowers.tgz",
                "oxford_flowers/jpg",
                "jpg",
                "52808999861908f626f3c1f4e79d11fa",
            ),
            Remote(
                "drive:1Pp0sRXzZFZq15zVOzKjKBu4A9i01nozT",
                "oxford_flowers/split_zhou_OxfordFlowers.json",
            ),
        ),
    ),
    "food101": Source(
        "https://data.vision.ee.ethz.ch/cvl/datasets_extra/food-101/",
        "For scientific fair use; the images come from Foodspotting and belong to their owners.",
        (
            Remote(
                "http://data.vision.ee.ethz.ch/cvl/food-101.tar.gz",
                "food-101/images",
                "food-101/images",
                "85eeb15f3717b99a5da872d97d918f87",
            ),
            Remote("drive:1QK0tGi096I0Ba6kggatX1ee6dJFIcEJl", "food-101/split_zhou_Food101.json"),
        ),
    ),
    "fgvc_aircraft": Source(
        f"{_VGG}/fgvc-aircraft/",
        "For non-commercial research only, by permission of the photographers.",
        (
            Remote(
                f"{_VGG}/fgvc-aircraft/archives/fgvc-aircraft-2013b.tar.gz",
                "fgvc_aircraft",
                "fgvc-aircraft-2013b/data",
            ),
        ),
    ),
    "sun397": Source(
        "https://vision.princeton.edu/projects/2010/SUN/",
        _RESEARCH,
        (
            Remote(
                "http://vision.princeton.edu/projects/2010/SUN/SUN397.tar.gz",
                "sun397/SUN397",
                "SUN397",
                "8ca2778205c41d23104230ba66911c7a",
            ),
            Remote("drive:1y2RD81BYuiyvebdN-JymPfyWYcd8_MUq", "sun397/split_zhou_SUN397.json"),
        ),
    ),
    "dtd": Source(
        f"{_VGG}/dtd/",
        _RESEARCH,
        (
            Remote(
                f"{_VGG}/dtd/download/dtd-r1.0.1.tar.gz",
                "dtd/images",
                "dtd/images",
                "fff73e5086ae6bdbea199a49dfb8a4c1",
            ),
            Remote(
                "drive:1u3_QfB467jqHgNXC00UIzbLZRQCg2S7x",
                "dtd/split_zhou_DescribableTextures.json",
            ),
        ),
    ),
    "eurosat": Source(
        "https://github.com/phelber/eurosat",
        "MIT licence; Sentinel-2 data of the European Union's Copernicus programme.",
        (
            Remote(
                "https://huggingface.co/datasets/torchgeo/eurosat/resolve/"
                "c877bcd43f099cd0196738f714544e355477f3fd/EuroSAT.zip",
                "eurosat/2750",
                "2750",
                "c8fa014336c82ac7804f0398fcb19387",
            ),
            Remote("drive:1Ip7yaCWFi0eaOFUGga0lUdVi_DDQth1o", "eurosat/split_zhou_EuroSAT.json"),
        ),
    ),
    "ucf101": Source(
        "https://www.crcv.ucf.edu/data/UCF101.php",
        f"{_RESEARCH} These are the middle frames of the videos, as CoOp's authors provide them.",
        (
            Remote(
                "drive:10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O",
                "ucf101/UCF-101-midframes",
                "UCF-101-midframes",
            ),
            Remote("drive:1I0S0q91hJfsV9Gf4xDIjgDq4AqBNJb1y", "ucf101/split_zhou_UCF101.json"),
        ),
    ),
    "imagenetv2": Source(
        "https://github.com/modestyachts/ImageNetV2",
        f"MIT licence for the collection. {_RESEARCH}",
        (
            Remote(
                "https://huggingface.co/datasets/vaishaal/ImageNetV2/resolve/main/"
                "imagenetv2-matched-frequency.tar.gz",
                "imagenetv2/imagenetv2-matched-frequency-format-val",
                "imagenetv2-matched-frequency-format-val",
            ),
            _CLASSNAMES,
        ),
    ),
    "imagenet_sketch": Source(
        "https://github.com/HaohanWang/ImageNet-Sketch",
        f"MIT licence for the collection. {_RESEARCH}",
        (
            Remote(
                "https://huggingface.co/datasets/songweig/imagenet_sketch/resolve/main/data/"
                "ImageNet-Sketch.zip",
                "imagenet-sketch/images",
                "sketch",
            ),
            _CLASSNAMES,
        ),
    ),
    "imagenet_a": Source(
        "https://github.com/hendrycks/natural-adv-examples",
        f"MIT licence for the collection. {_RESEARCH}",
        (
            Remote(
                "https://people.eecs.berkeley.edu/~hendrycks/imagenet-a.tar",
                "imagenet-adversarial/imagenet-a",
                "imagenet-a",
            ),
            _CLASSNAMES,
        ),
    ),
    "imagenet_r": Source(
        "https://github.com/hendrycks/imagenet-r",
        f"MIT licence for the collection. {_RESEARCH}",
        (
            Remote(
                "https://people.eecs.berkeley.edu/~hendrycks/imagenet-r.tar",
                "imagenet-rendition/imagenet-r",
                "imagenet-r",
            ),
            _CLASSNAMES,
        ),
    ),
}
