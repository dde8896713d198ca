"""A finished run opened: its classifier, its CLIP, and how it sees pictures."""

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
from mocoop.clip.image_layer_norms import with_norms
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.features.encode import ImageEncoder
from mocoop.methods import METHODS
from mocoop.model.mixture import PromptMixture, build_model
from mocoop.runs.run import Run, RunSetup


def open_classifier(
    run: Run, epoch: int | None = None, loaded: Backbone | None = None
) -> Classifier:
    """Returns the classifier of a finished run, after training or after a saved epoch.

    Runs of before the router was kept by epoch show earlier text features with its last state.

    Args:
        run: the run.
        epoch: one of the epochs that it kept; the last if None.
        loaded: the run's backbone, where it is loaded already.

    Raises:
        UserError: for a run that is not finished, or incomplete, or kept no such epoch.
    """
    run.require_finished()
    setup = run.setup()
    if METHODS[setup.config.method].fits_image_features:
        return classifier_of_fit(setup, run.weights())
    if setup.config.conditional:
        backbone = run_backbone(run, loaded)
        return classifier_of_model(
            setup, restore_model(setup, run.weights(), backbone), backbone.text
        )
    features = run.features()
    if epoch is not None and epoch not in features.soft:
        raise UserError(f"Run {run.path} kept no epoch {epoch}, only {list(features.soft)}.")
    soft = features.last if epoch is None else features.soft[epoch]
    last = run.weights()
    return classifier_of_features(
        setup, soft, last if epoch is None else features.gates.get(epoch, last)
    )


def run_backbone(run: Run, loaded: Backbone | None = None) -> Backbone:
    """Returns the CLIP that a run sees images with: its backbone, with the run's LayerNorms.

    Args:
        run: a finished run.
        loaded: the run's backbone, where it is loaded already.

    Raises:
        UserError: if the weights are no longer those that the run was trained with.
    """
    setup = run.setup()
    backbone = loaded or load_backbone(setup.config.backbone, choose_device("auto"))
    setup.check_backbone(backbone.fingerprint)
    return with_norms(backbone, run.weights()) if setup.config.tune_layer_norms else backbone


def run_encoder(run: Run, loaded: Backbone | None = None) -> ImageEncoder:
    """Returns how a run sees pictures: its backbone, in the number format it was trained with.

    Args:
        run: a finished run.
        loaded: the run's backbone, where it is loaded already.

    Raises:
        UserError: if the weights are no longer those that the run was trained with.
    """
    backbone = run_backbone(run, loaded)
    return ImageEncoder(backbone, tower_dtype(run.setup().config.precision, backbone.device))


def restore_model(
    setup: RunSetup, weights: Mapping[str, Tensor], backbone: Backbone
) -> PromptMixture:
    """Returns the trained model of a run, for other class names than those it was saved with.

    Raises:
        UserError: for weights that do not fit the run's settings.
    """
    generator = torch.Generator().manual_seed(setup.config.seed)
    model = build_model(
        setup.config, backbone, setup.groups, generator, num_classes=setup.trained_classes
    )
    try:
        model.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise UserError(
            f"The run's weights do not fit its settings ({' '.join(str(error).split())[:200]}). "
            "Train it again."
        ) from error
    return model.eval().requires_grad_(False)


def check_same_data(run: Run, setup: RunSetup, dataset: Dataset, backbone: Backbone) -> None:
    """Raises UserError if data or weights are no longer those that the run was trained with."""
    if dataset.class_names != setup.class_names:
        raise UserError(
            f"Run {run.path} was trained on {len(setup.class_names)} classes of "
            f"{setup.config.data}, which now has {len(dataset.class_names)} or other names. Put "
            "the data back as it was, or train again."
        )
    setup.check_backbone(backbone.fingerprint)
