"""The library's methods as a classifier with scikit-learn's conventions."""

from __future__ import annotations

import numbers
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.utils import check_random_state
from sklearn.utils.metadata_routing import UNUSED
from sklearn.utils.validation import check_is_fitted, validate_data

from mocoop.classifiers.pictures import ImageClassifier
from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.config import GIVEN, TrainConfig
from mocoop.datasets.base import Item
from mocoop.datasets.given_images import (
    GivenImages,
    check_pictures,
    read_pictures,
    set_aside,
    training_white,
    unreadable,
)
from mocoop.datasets.given_labels import label_indices, name_classes, read_labels
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError
from mocoop.features.cache import UnreadableImagesError
from mocoop.presets import settings_from
from mocoop.runs.run import Run, new_run_path
from mocoop.storage.temporary_folder import (
    TemporaryFolder,
    holds_files,
    read_folder,
    write_folder,
)
from mocoop.templates import TemplateSet, load_templates
from mocoop.training.experiment import run_experiment

if TYPE_CHECKING:
    import pandas as pd

# Settings that are parameters of the estimator, or that only data sets with a name have.
_NOT_IN_SETTINGS = (
    "method",
    "backbone",
    "shots",
    "groups",
    "seed",
    "device",
    "data",
    "classes",
    "style",
)
_NAMED = ("epochs", "learning_rate", "num_chosen", "text_weight")


class MoCoOpClassifier(ClassifierMixin, BaseEstimator):
    """An image classifier: a mixture of soft prompts for CLIP, or another of the methods.

    `fit` trains like `mocoop train`: the same images, settings and seed give the same run.
    Images are a list of paths, PIL images or uint8 arrays (height, width, 3), also grey or with
    an alpha channel; or one uint8 array of all images; or image features that CLIP's image tower
    has computed, as an array of numbers (images, dim).

    Args:
        method: `mocoop`, `coop`, `kgcoop`, `linear-probe` … (`mocoop train --help` lists them).
        backbone: `demo`, an open_clip `NAME/TAG`, or the folder of a checkpoint.
        shots: images per class that are drawn for training; None uses all images.
        groups: semantic groups of templates, group → templates, one expert each; or the name of
            a set that ships with the library, `photos` or `drawn`; None uses `photos`.
        epochs: passes over the images; None uses the method's default.
        learning_rate: the peak learning rate; None uses the method's default.
        num_chosen: number of experts that the router chooses for an image; None uses the
            method's default.
        text_weight: weight of the text-supervision loss; None uses the method's default.
        settings: any other settings of `TrainConfig`, by name.
        class_names: label → name of the class in the prompts, or the names of the labels 0, 1,
            2, …; None uses the labels as names.
        val_shots: images per class that `fit` takes from the training images for validation, if
            it is called without validation images. `linear-probe` needs at least one, and
            Tip-Adapter is better with some.
        device: `auto`, `cpu`, `cuda` …
        run: folder for the finished run, which must not contain a run yet; None uses a temporary
            folder, which is deleted with the estimator.
        random_state: draws few-shot images, batches and initial weights: an integer, which is
            the run's seed, a numpy RandomState, or None for a new seed every time.

    Attributes:
        classes_: the labels, sorted, (classes,).
        class_names_: the names of the classes in the prompts, in the same order.
        experts_: names of the experts, (experts,).
        run_: the finished `Run`.
        n_features_in_: width of the features; only if `fit` was called with features.

    Examples:
        >>> from mocoop.datasets import load_dataset
        >>> details = load_dataset("details")
        >>> items = details.items("train", [0, 1, 2])
        >>> images = [details.image(item) for item in items]
        >>> labels = [details.class_names[item.label] for item in items]
        >>> classifier = MoCoOpClassifier(groups="scenes", shots=4, random_state=1)
        >>> classifier.fit(images, labels).score(images, labels) > 0.9
        True
    """

    # Images and labels are scikit-learn's X and y, not metadata.
    __metadata_request__fit: ClassVar = {"images": UNUSED, "labels": UNUSED}
    __metadata_request__predict: ClassVar = {"images": UNUSED}
    __metadata_request__predict_proba: ClassVar = {"images": UNUSED}

    def __init__(
        self,
        method: str = "mocoop",
        backbone: str = "demo",
        shots: int | None = None,
        groups: Mapping[str, Sequence[str]] | str | None = None,
        *,
        epochs: int | None = None,
        learning_rate: float | None = None,
        num_chosen: int | None = None,
        text_weight: float | None = None,
        settings: Mapping[str, Any] | None = None,
        class_names: Mapping[Any, str] | Sequence[str] | None = None,
        val_shots: int = 0,
        device: str = "auto",
        run: str | os.PathLike[str] | None = None,
        random_state: int | np.random.RandomState | None = None,
    ) -> None:
        self.method = method
        self.backbone = backbone
        self.shots = shots
        self.groups = groups
        self.epochs = epochs
        self.learning_rate = learning_rate
        self.num_chosen = num_chosen
        self.text_weight = text_weight
        self.settings = settings
        self.class_names = class_names
        self.val_shots = val_shots
        self.device = device
        self.run = run
        self.random_state = random_state

    def fit(
        self, images: Any, labels: Any, val_images: Any = None, val_labels: Any = None
    ) -> Self:
        """Trains on images and returns the estimator.

        Args:
            images: the training images, or their features (images, dim).
            labels: (images,), strings or integers.
            val_images: validation images; at most four of each class are drawn, as in CoOp.
            val_labels: labels of the validation images.

        Raises:
            ValueError: for images that cannot be read (the message lists all of them), different
                numbers of images and labels, a single class, features of the wrong width, or
                invalid settings.
        """
        white = training_white(images)
        given = self._read(images, "images", white, new=True)
        column = read_labels(labels, len(given))
        classes, indices = np.unique(column, return_inverse=True)
        names = name_classes(classes.tolist(), self.class_names)
        config, templates = self._config(int(np.bincount(indices).max()), given.width is not None)
        backbone = self._load_backbone(config.backbone)
        _check_width(given, backbone)
        train = given.items(indices.tolist())
        val: tuple[Item, ...] = ()
        if (val_images is None) != (val_labels is None):
            raise UserError("Give both val_images and val_labels, or neither.")
        if val_images is not None:
            val_given = self._read(val_images, "val_images", white)
            _check_width(val_given, backbone)
            val_column = read_labels(val_labels, len(val_given), "val_labels")
            val = val_given.items(label_indices(val_column, classes).tolist())
            given = given.joined(val_given)
        elif self.val_shots:
            train, val = set_aside(train, self.val_shots, config.seed)
        dataset = given.dataset(names, templates, train=train, val=val)
        if not config.image_cache:
            check_pictures(dataset, few_shot_items(config, dataset), config.method)
        folder = TemporaryFolder()
        path = new_run_path(config, folder.path) if self.run is None else Path(self.run)
        path = path.expanduser().absolute()
        try:
            for _ in run_experiment(config, path, dataset=dataset, backbone=backbone):
                pass
        except UnreadableImagesError as error:
            raise unreadable(error.reasons, len(given)) from error
        self.classes_ = classes
        self.class_names_ = names
        self.run_ = Run(path)
        self._folder = folder
        self._opened = ImageClassifier.from_run(self.run_, loaded=backbone)
        self.experts_ = np.array(self._opened.experts)
        return self

    def predict(self, images: Any) -> np.ndarray:
        """Returns the most probable label of each image, (images,)."""
        probabilities, _, _ = self._classify(images)
        return self.classes_[probabilities.argmax(axis=1)]

    def predict_proba(self, images: Any) -> np.ndarray:
        """Returns class probabilities (images, classes), in the order of `classes_`."""
        return self._classify(images)[0]

    def routing(self, images: Any) -> pd.DataFrame:
        """Returns the weight of every expert for every image, as a DataFrame.

        There is a row for each image, named by its path or index, and a column for each expert.
        The weights of a row sum to 1; experts that the router did not choose have 0. Needs
        pandas.
        """
        import pandas as pd

        _, weights, names = self._classify(images)
        table = pd.DataFrame(weights, index=pd.Index(names, name="image"), columns=self.experts_)
        return table.rename_axis(columns="expert")

    def __getstate__(self) -> dict[str, Any]:
        """Returns the contents of a pickle: also the run's files, but not the CLIP."""
        state = dict(super().__getstate__())
        state.pop("_folder", None)
        state.pop("_opened", None)
        if "run_" in state:
            state["_files"] = read_folder(self.run_.path)
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restores a pickle; the run gets a temporary folder if its own has not these files."""
        files = state.pop("_files", None)
        super().__setstate__(state)
        if files is None or (self.run is not None and holds_files(self.run_.path, files)):
            return
        self._folder = TemporaryFolder()
        self.run_ = Run(self._folder.path / self.run_.name)
        write_folder(self.run_.path, files)

    def _read(
        self, images: Any, argument: str, white: float | None, new: bool = False
    ) -> GivenImages:
        """Returns the given images or features; with `new` it also sets `n_features_in_`."""
        pictures = read_pictures(images, argument, white)
        if pictures is not None:
            if new:
                for name in ("n_features_in_", "feature_names_in_"):
                    self.__dict__.pop(name, None)
            return pictures
        features = validate_data(self, images, reset=new, dtype=np.float32)
        return GivenImages(tuple(f"{argument}[{i}]" for i in range(len(features))), features)

    def _config(self, most: int, features: bool) -> tuple[TrainConfig, TemplateSet]:
        """Returns the run's settings, and the set of templates.

        Args:
            most: number of images of the largest class.
            features: whether features are given instead of pictures; they have no crops.
        """
        others = {} if self.settings is None else self.settings
        if not isinstance(others, Mapping):
            raise UserError(f"settings is expected as name → value; got {others!r}.")
        for name in others:
            if name in (*_NOT_IN_SETTINGS, *_NAMED):
                raise UserError(
                    f"settings cannot hold {name!r}: it is a parameter of the estimator, or the "
                    "images and labels determine it."
                )
        named = {name: getattr(self, name) for name in _NAMED}
        values = {name: value for name, value in named.items() if value is not None}
        values |= {
            "data": GIVEN,
            "method": self.method,
            "backbone": os.fspath(self.backbone),
            "shots": most if self.shots is None else self.shots,
            "seed": self._seed(),
            "device": self.device,
            **({"key_views": 0} if features else {}),
            **others,
        }
        chosen = self.groups if isinstance(self.groups, str) else "photos"
        if self.groups is not None and not isinstance(self.groups, str):
            values["groups"] = self.groups
        plain = {k: v.item() if isinstance(v, np.generic) else v for k, v in values.items()}
        return settings_from(plain), load_templates(chosen)

    def _load_backbone(self, name: str) -> Backbone:
        """Returns the frozen CLIP on the estimator's device."""
        return load_backbone(name, choose_device(self.device))

    def _seed(self) -> int:
        """Returns the run's seed: `random_state` if it is an integer, else a random number."""
        if isinstance(self.random_state, numbers.Integral):
            return int(self.random_state)
        return int(check_random_state(self.random_state).randint(2**31 - 1))

    def _classify(self, images: Any) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
        """Returns probabilities (images, classes), weights (images, experts), and names."""
        check_is_fitted(self, "run_")
        given = self._read(images, "images", self.run_.setup().white)
        if not hasattr(self, "_opened"):
            backbone = self._load_backbone(self.run_.setup().config.backbone)
            self._opened = ImageClassifier.from_run(self.run_, loaded=backbone)
        opened = self._opened
        _check_width(given, opened.encoder.backbone)
        routed = opened.classify(given)
        return routed.probabilities.float().numpy(), routed.weights.float().numpy(), given.names


def _check_width(images: GivenImages, backbone: Backbone) -> None:
    """Raises UserError for features of another width than the backbone's."""
    dim = backbone.text.dim
    if images.width not in (None, dim):
        raise UserError(
            f"Features of the CLIP {backbone.name!r} are {dim} wide; got {images.width}. Encode "
            "the images with this CLIP, or give the images themselves."
        )
