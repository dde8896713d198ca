"""Assembles a classifier from the parts of a run. All other modules use these functions."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from mocoop.classifiers.base import ONE, Classifier
from mocoop.classifiers.linear_probe import LinearProbe, ProbeClassifier
from mocoop.classifiers.prompts import ConditionalClassifier, MixtureClassifier, learned_state
from mocoop.classifiers.tip_adapter import TipAdapter, TipClassifier
from mocoop.clip.text_tower import TextTower
from mocoop.method_record import IMAGE_CACHE, LINEAR_PROBE
from mocoop.methods import METHODS
from mocoop.model.mixture import PromptMixture
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import RunSetup, load_gate

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
        return ConditionalClassifier(names, ONE, model, tower)
    if soft is None:
        soft = model.text_features(tower, ClassTokens.from_names(tower.tokens, names)).cpu()
    return classifier_of_features(setup, soft, learned_state(model), names)


def classifier_of_fit(setup: RunSetup, weights: Weights) -> Classifier:
    """Returns the classifier of a method that is fitted on image features, from its weights.

    Raises:
        UserError: if the weights belong to another method.
    """
    return _MAKERS[METHODS[setup.config.method].classifier](setup, weights)


def _probe(setup: RunSetup, weights: Weights) -> Classifier:
    return ProbeClassifier(setup.class_names, ONE, LinearProbe.from_tensors(weights))


def _tip_adapter(setup: RunSetup, weights: Weights) -> Classifier:
    adapter = TipAdapter.from_tensors(weights)
    return TipClassifier(setup.class_names, ONE, adapter, weights["text"], setup.logit_scale)


_MAKERS: dict[str, Callable[[RunSetup, Weights], Classifier]] = {
    LINEAR_PROBE: _probe,
    IMAGE_CACHE: _tip_adapter,
}
"""Kind of classifier that is fitted on image features → function that makes it from weights."""
