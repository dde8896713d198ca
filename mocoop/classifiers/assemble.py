"""Assembles a classifier from the parts of a run. All other modules use these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mocoop.classifiers.base import ONE, Classifier
from mocoop.classifiers.blended_probe import BlendedClassifier, BlendedProbe
from mocoop.classifiers.feature_adapter import AdapterClassifier, FeatureAdapter
from mocoop.classifiers.linear_probe import LinearProbe, ProbeClassifier
from mocoop.classifiers.prompts import ConditionalClassifier, MixtureClassifier, learned_state
from mocoop.classifiers.task_residual import TaskResidual, TaskResidualClassifier
from mocoop.classifiers.tip_adapter import TipAdapter, TipClassifier
from mocoop.clip.text_tower import TextTower
from mocoop.method_record import (
    BLENDED_PROBE,
    FEATURE_ADAPTER,
    IMAGE_CACHE,
    LINEAR_PROBE,
    TASK_RESIDUAL,
)
from mocoop.methods import METHODS
from mocoop.model.mixture import PromptMixture
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.features import load_gate
from mocoop.runs.run import RunSetup

Weights = Mapping[str, Tensor]


def classifier_of_features(
    setup: RunSetup, soft: Tensor, gate: Weights, class_names: Sequence[str] | None = None
) -> MixtureClassifier:
    """Returns the classifier of fixed text features.

    Args:
        setup: the setup of the run.
        soft: text features (experts, classes, dim), L2-normalised, on the CPU.
        gate: tensors with the router's `gate.weight` and `gate.bias`; a run with one expert
            has neither.
        class_names: names of the classes; by default those of the run.
    """
    return MixtureClassifier(
        setup.class_names if class_names is None else tuple(class_names),
        setup.experts,
        soft,
        load_gate(gate),
        setup.logit_scale,
        setup.config.num_chosen,
    )


@torch.no_grad()
def classifier_of_model(
    setup: RunSetup,
    model: PromptMixture,
    tower: TextTower,
    class_names: Sequence[str] | None = None,
    soft: Tensor | None = None,
) -> Classifier:
    """Returns the classifier of a trained model.

    Args:
        setup: the setup of the run.
        model: the trained model.
        tower: the text tower of the run's CLIP.
        class_names: names of the classes; by default those of the run.
        soft: the model's text features of these classes (experts, classes, dim), on the CPU;
            computed if None.
    """
    names = setup.class_names if class_names is None else tuple(class_names)
    if setup.config.conditional:
        return ConditionalClassifier(names, setup.experts, model, tower)
    if soft is None:
        soft = model.text_features(tower, ClassTokens.from_names(tower.tokens, names)).cpu()
    return classifier_of_features(setup, soft, learned_state(model), names)


def classifier_of_fit(setup: RunSetup, weights: Weights) -> Classifier:
    """Returns the classifier of a method that is fitted on image features, from its weights.

    Args:
        setup: the setup of the run; its names are those of the classifier.
        weights: the run's weights by name.

    Raises:
        UserError: if the weights belong to another method.
    """
    return _MAKERS[METHODS[setup.config.method].classifier](setup, weights)


def _probe(setup: RunSetup, weights: Weights) -> Classifier:
    return ProbeClassifier(setup.class_names, ONE, LinearProbe.from_tensors(weights))


def _tip_adapter(setup: RunSetup, weights: Weights) -> Classifier:
    adapter = TipAdapter.from_tensors(weights)
    return TipClassifier(setup.class_names, ONE, adapter, weights["text"], setup.logit_scale)


def _task_residual(setup: RunSetup, weights: Weights) -> Classifier:
    soft = TaskResidual.from_tensors(weights).text[None]  # (1, trained classes, dim)
    return TaskResidualClassifier(setup.class_names, ONE, soft, None, setup.logit_scale, 1)


def _feature_adapter(setup: RunSetup, weights: Weights) -> Classifier:
    adapter = FeatureAdapter.from_tensors(weights)
    return AdapterClassifier(setup.class_names, ONE, adapter, weights["text"], setup.logit_scale)


def _blended_probe(setup: RunSetup, weights: Weights) -> Classifier:
    return BlendedClassifier(setup.class_names, ONE, BlendedProbe.from_tensors(weights))


_MAKERS: dict[str, Callable[[RunSetup, Weights], Classifier]] = {
    LINEAR_PROBE: _probe,
    IMAGE_CACHE: _tip_adapter,
    TASK_RESIDUAL: _task_residual,
    FEATURE_ADAPTER: _feature_adapter,
    BLENDED_PROBE: _blended_probe,
}
"""Kind of classifier that is fitted on image features → function that makes it from weights."""
