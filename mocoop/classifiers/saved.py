"""Opens a finished run: its classifier, its CLIP, and its encoder of images."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mocoop.classifiers.assemble import (
    classifier_of_features,
    classifier_of_fit,
    classifier_of_model,
)
from mocoop.classifiers.base import Classifier
from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.clip.device import tower_dtype
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.features.encode import ImageEncoder
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.key_prompts import with_saved_lengths
from mocoop.model.mixture import PromptMixture
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.runs.run import Run, RunSetup
from mocoop.storage.cache_folder import kept_for


def open_classifier(
    run: Run, epoch: int | None = None, loaded: Backbone | None = None
) -> Classifier:
    """Returns the classifier of a finished run, at the end of training or after a saved epoch.

    Its classes are those of the run, or the trained ones if the run can predict no others. Old
    runs did not save the router of each epoch. For them, the text features of an earlier epoch
    are combined with the final router.

    Args:
        run: the run.
        epoch: a saved epoch; by default the state at the end of training, which is the only one
            where more is learned than text features and a router.
        loaded: the run's backbone, if it is loaded already.

    Raises:
        UserError: if the run is not finished or incomplete, or the epoch was not saved.
    """
    run.require_finished()
    setup = run.setup()
    if epoch not in (None, setup.config.epochs):
        _check_epochs_are_whole(run, setup)
    if METHODS[setup.config.method].fits_image_features:
        classifier = classifier_of_fit(setup, run.weights())
        known = range(setup.trained_classes)
        return classifier.subset(known) if setup.knows_trained_only else classifier
    if setup.config.conditional:
        backbone = run_backbone(run, loaded)
        return classifier_of_model(
            setup, restore_model(setup, run.weights(), backbone), backbone.text
        )
    features = run.features()
    if epoch is not None and epoch not in features.soft:
        saved = ", ".join(map(str, features.soft))
        raise UserError(f"Run {run.path} has no saved epoch {epoch}. Choose one of: {saved}.")
    soft = features.last if epoch is None else features.soft[epoch]
    last = run.weights()
    return classifier_of_features(
        setup, soft, last if epoch is None else features.gates.get(epoch, last)
    )


def _check_epochs_are_whole(run: Run, setup: RunSetup) -> None:
    """Raises UserError for a run whose saved epochs are not all that it had learned by then."""
    config = setup.config
    fitted = METHODS[config.method].fits_image_features
    if fitted or config.conditional or config.tunes_images:
        raise UserError(
            f"Run {run.path} ({config.method}) is saved only as it was at the end of training, "
            f"after epoch {config.epochs}. Leave the epoch out."
        )


def run_backbone(run: Run, loaded: Backbone | None = None) -> Backbone:
    """Returns the CLIP that encodes a run's images: its backbone, with all that it learned there.

    Args:
        run: a finished run.
        loaded: the run's backbone, if it is loaded already, with or without what was learned.

    Raises:
        UserError: if the backbone's weights have changed since the training.
    """
    setup = run.setup()
    if loaded is None:
        loaded = load_backbone(setup.config.backbone, choose_device("auto"))
    backbone = loaded.as_loaded
    setup.check_backbone(backbone.fingerprint)
    return tuned_backbone(backbone, setup.config, run.weights())


def run_encoder(run: Run, loaded: Backbone | None = None) -> ImageEncoder:
    """Returns a run's encoder of images: its backbone, in the number format of the training.

    Args:
        run: a finished run.
        loaded: the run's backbone, if it is loaded already.

    Raises:
        UserError: if the backbone's weights have changed since the training.
    """
    backbone = run_backbone(run, loaded)
    return ImageEncoder(backbone, tower_dtype(run.setup().config.precision, backbone.device))


def run_features(run: Run, encoder: ImageEncoder) -> FeatureCache:
    """Returns the cache of image features by a run's encoder.

    Features of an image tower that the run itself has changed are deleted with the run.

    Args:
        run: a finished run.
        encoder: the run's encoder, from `run_encoder`.
    """
    own = kept_for(run.path) / "features" if run.setup().config.tunes_images else None
    return FeatureCache(encoder.backbone, precision=encoder.precision, features=own)


def restore_model(
    setup: RunSetup, weights: Mapping[str, Tensor], backbone: Backbone
) -> PromptMixture:
    """Returns the trained model of a run, which can encode prompts with any class names.

    Raises:
        UserError: if the weights do not match the run's settings.
    """
    generator = torch.Generator().manual_seed(setup.config.seed)
    config = with_saved_lengths(setup.config, weights)
    model = build_model(
        config, backbone, setup.groups, generator, num_classes=setup.trained_classes
    )
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UserError(
            f"The run's weights do not match its settings ({' '.join(str(error).split())[:200]}). "
            "Train the run again."
        ) from error
    return model.eval().requires_grad_(False)


def check_same_data(run: Run, setup: RunSetup, dataset: Dataset, backbone: Backbone) -> None:
    """Raises UserError if class names or backbone weights have changed since the training.

    Args:
        run: the run.
        setup: what it was trained with.
        dataset: its data set as it is now.
        backbone: its CLIP as it is now, with or without what the run has learned there.
    """
    setup.check_backbone(backbone.as_loaded.fingerprint)
    if dataset.class_names != setup.class_names:
        raise UserError(
            f"Run {run.path} was trained on {len(setup.class_names)} classes of "
            f"{setup.config.data}, which now has {len(dataset.class_names)} classes or other "
            "names. Restore the data, or train again."
        )
