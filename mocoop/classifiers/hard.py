"""Classifiers of hard templates alone: zero-shot, an ensemble of templates, a typed sentence."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from mocoop.classifiers.base import ONE
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.clip.backbone import Backbone
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.templates import Groups


def hard_classifier(
    backbone: Backbone, class_names: Sequence[str], templates: Sequence[str]
) -> MixtureClassifier:
    """Returns the classifier of one template, or of the mean of several templates' features.

    Args:
        backbone: a frozen CLIP.
        class_names: in label order.
        templates: one or more, each with `{}` where the class name goes.

    Raises:
        UserError: for a template that is longer, with a class name, than the CLIP can read.
    """
    groups: Groups = {ONE[0]: tuple(templates)}
    text = group_prototypes(hard_features(backbone.text, groups, class_names))
    return classifier_of_text(text.cpu(), class_names, backbone.logit_scale)


def classifier_of_text(
    text: Tensor, class_names: Sequence[str], logit_scale: float
) -> MixtureClassifier:
    """Returns the classifier of text features (1, classes, dim), L2-normalised, on the CPU."""
    return MixtureClassifier(tuple(class_names), ONE, text, None, logit_scale, 1)
