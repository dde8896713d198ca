"""Every method's way from image features to probabilities, and how a run's is opened."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from mocoop.classifiers.base import ONE, Classifier
from mocoop.classifiers.linear_probe import LinearProbe, ProbeClassifier
from mocoop.classifiers.prompts import ConditionalClassifier, MixtureClassifier
from mocoop.classifiers.tip_adapter import TipAdapter, TipClassifier
from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.clip.image_layer_norms import with_norms
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.model.mixture import PromptMixture, build_model
from mocoop.runs.run import Run, RunSetup, load_gate


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
    names, method = setup.class_names, setup.config.method
    if method == "linear-probe":
        return ProbeClassifier(names, ONE, LinearProbe.from_tensors(run.weights()))
    if method in ("tip-adapter", "tip-adapter-f"):
        weights = run.weights()
        adapter = TipAdapter.from_tensors(weights)
        return TipClassifier(names, ONE, adapter, weights["text"], setup.logit_scale)
    if setup.config.conditional:
        backbone = run_backbone(run, loaded)
        model = restore_model(setup, run.weights(), backbone)
        return ConditionalClassifier(names, ONE, model, backbone.text)
    features = run.features()
    if epoch is not None and epoch not in features.soft:
        raise UserError(f"Run {run.path} kept no epoch {epoch}, only {list(features.soft)}.")
    return MixtureClassifier(
        names,
        setup.experts,
        features.last if epoch is None else features.soft[epoch],
        load_gate(run.weights() if epoch is None else features.gates.get(epoch, run.weights())),
        setup.logit_scale,
        setup.config.num_chosen,
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
