"""From candidates to groups: all checks, the grouping, its controls, in one place."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from functools import cached_property, partial
from typing import Literal, get_args

import numpy as np
import torch
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import class_range, few_shot
from mocoop.errors import UserError, choose_from
from mocoop.features.cache import FeatureCache
from mocoop.template_making.candidates import Candidate, Judged, check_number
from mocoop.template_making.controls import controls
from mocoop.template_making.feature_checks import Checks, Images, longest_name, positions_of
from mocoop.template_making.group_names import group_names
from mocoop.template_making.group_number import Chosen, Rule, choose_number
from mocoop.template_making.grouping import agreement, centred, medoid_first
from mocoop.template_making.image_groups import LEFT, choose_by_images, true_probabilities
from mocoop.template_making.routing import prototypes_of, routed_accuracy, shares
from mocoop.template_making.text_features import (
    Progress,
    TextFeatures,
    class_bootstraps,
    encoded_classes,
    mean_vectors,
)
from mocoop.template_making.word_checks import WordChecks
from mocoop.templates import Groups, as_groups

BOOTSTRAPS = 5
Method = Literal["images", "kmeans", "linkage"]
Classes = Literal["all", "base"]


@dataclass(frozen=True)
class GroupingSettings:
    """How templates are checked and grouped."""

    seed: int = 1
    """Seed of the few-shot images and of all that is random."""
    shots: int = 16
    """Training images per class on which templates are tried."""
    classes: Classes = "all"
    """Classes whose names and images are used; base for a base-to-new comparison."""
    method: Method = "images"
    """By the training images that they help; or by their texts, with spherical k-means or average
    linkage, whose groups differ more in size."""
    count: int = 0
    """Number of groups; 0 chooses among 3 to 8."""
    rule: Rule = "silhouette"
    """What chooses the number of groups made by texts; `images` goes by validation images."""

    def __post_init__(self) -> None:
        if self.shots < 1:
            raise UserError(f"shots must be at least 1; got {self.shots}.")
        for name, kind in (("classes", Classes), ("method", Method), ("rule", Rule)):
            if getattr(self, name) not in get_args(kind):
                raise choose_from(name, getattr(self, name), get_args(kind))
        if not 0 <= self.seed < 2**32:
            raise UserError(f"seed must be from 0 to 4294967295; got {self.seed}.")
        if self.count < 0:
            raise UserError(
                f"The number of groups must be at least 1, or 0 to choose it; got {self.count}."
            )


@dataclass(frozen=True)
class Control:
    """Groups to compare with."""

    groups: Groups
    validation: float | None
    """Accuracy on validation images without training, in percent; None without such images."""


@dataclass(frozen=True)
class Made:
    """Groups of templates, and how they came about."""

    groups: Groups
    """Group name → templates, the medoid first; the largest group first."""
    judged: tuple[Judged, ...]
    """Every candidate, in order."""
    method: str
    """images, kmeans or linkage."""
    chosen: Chosen
    shares: dict[str, float]
    """Group → share of the training images, 0 to 1, that have it among their two best."""
    validation: float | None
    """Accuracy on validation images without training, in percent; None without such images."""
    factors: float
    """Adjusted Rand index between the groups and the factors of their templates."""
    controls: dict[str, Control] = field(default_factory=dict)

    @property
    def remarks(self) -> tuple[str, ...]:
        """Returns what a user should know about these groups."""
        found = []
        if len(self.groups) == 1:
            found.append(f"There is one group: {self.chosen.why}.")
        for name, share in self.shares.items():
            if share == 0.0:
                found.append(f"Group {name!r} is among the two best of no training image.")
            elif share == 1.0 and len(self.groups) > 2:
                found.append(f"Group {name!r} is among the two best of every training image.")
        return tuple(found)


class TemplateMaker:
    """Checks and groups candidates for one data set with one CLIP.

    Args:
        backbone: the frozen CLIP.
        dataset: a data set with training images.
        cache: image features of the backbone.
        settings: how to check and to group.
        expected: about how many candidates there will be; with very many, templates are encoded
            for fewer classes.
        texts: features of templates that another maker has encoded; used if they are of the same
            classes.

    Raises:
        UserError: if there are no training images, or fewer than two classes.
    """

    def __init__(
        self,
        backbone: Backbone,
        dataset: Dataset,
        cache: FeatureCache,
        settings: GroupingSettings,
        expected: int = 0,
        texts: TextFeatures | None = None,
    ) -> None:
        check_number(expected)
        self._encoded, self._expected = texts, expected
        self.backbone, self.dataset, self.settings = backbone, dataset, settings
        self._cache = cache
        allowed = class_range(settings.classes, len(dataset.class_names))
        if len(allowed) < 2:
            raise UserError(
                f"{dataset.name} has too few classes to tell templates apart: expected two or "
                "more. Use all classes."
            )
        self.class_names = [dataset.class_names[label] for label in allowed]
        self.encoded = encoded_classes(allowed, expected, settings.seed)
        self._train, self._val = self._drawn()
        if not self._train:
            raise UserError(
                f"{dataset.name} has no training images, on which templates are tried. Add some."
            )

    @cached_property
    def images(self) -> Images:
        """The few-shot training images."""
        return self._images(self._train)

    @cached_property
    def validation(self) -> Images | None:
        """The few-shot validation images; None if the data set has none."""
        return self._images(self._val) if self._val else None

    @cached_property
    def texts(self) -> TextFeatures:
        """Features of the templates for the encoded classes."""
        names = [self.dataset.class_names[label] for label in self.encoded]
        if self._encoded is not None and self._encoded.class_names == tuple(names):
            return self._encoded
        return TextFeatures(self.backbone.text, names)

    @cached_property
    def checks(self) -> Checks:
        """All checks; the names of every class are banned, also of those that are not used."""
        every, tokens = self.dataset.class_names, self.backbone.text.tokens
        return Checks(
            WordChecks(every),
            tokens,
            longest_name(tokens, every),
            self.texts,
            self.images,
            alone=self.settings.method != "images",
        )

    def judge(
        self, candidates: Sequence[Candidate], progress: Progress | None = None
    ) -> tuple[Judged, ...]:
        """Returns every candidate in order, refused ones with the reason.

        Raises:
            UserError: for more than 10,000 candidates.
        """
        check_number(len(candidates))
        return self.checks.judge(candidates, progress)

    def group(self, judged: Sequence[Judged], progress: Progress | None = None) -> Made:
        """Returns the groups of the candidates that were kept, and their controls.

        Args:
            judged: the candidates after all checks.
            progress: called with the numbers of templates encoded and in total.

        Raises:
            UserError: if none was kept.
        """
        kept = [one for one in judged if one.kept]
        if not kept:
            raise UserError(_none_kept(judged))
        templates = [one.template for one in kept]
        features = self.texts.of(templates, progress)
        vectors = centred(mean_vectors(features))
        chosen = self._chosen(features, vectors)
        inside = chosen.best.labels != LEFT
        used = np.flatnonzero(inside)
        labels = chosen.best.labels[inside]
        groups = _named([templates[i] for i in used], vectors[used], labels)
        prototypes = prototypes_of(features[used], torch.from_numpy(labels))
        share = shares(self.images.features, prototypes)
        factors = np.unique([kept[i].factor for i in used], return_inverse=True)[1]
        return Made(
            groups,
            _left_out(judged, {kept[i].template for i in np.flatnonzero(~inside)}),
            self.settings.method,
            chosen,
            dict(zip(groups, share, strict=True)),
            self.accuracy(groups),
            agreement(factors, labels),
            self._controls(groups, templates),
        )

    def _chosen(self, features: Tensor, vectors: np.ndarray) -> Chosen:
        """Returns the number of groups and the grouping, by images or by texts."""
        method, seed, count = self.settings.method, self.settings.seed, self.settings.count
        accuracy = None if self.validation is None else partial(self._accuracy, features)
        if method == "images":
            scale = self.backbone.logit_scale
            images, labels = self.images.features, self.images.labels
            right = true_probabilities(images, labels, features, scale)
            return choose_by_images(vectors, right, seed, count, accuracy)
        drawn = class_bootstraps(features, BOOTSTRAPS, seed)
        means = mean_vectors(features)
        return choose_number(means, drawn, method, seed, count, self.settings.rule, accuracy)

    def grouping_by(self, method: Method) -> TemplateMaker:
        """Returns a maker that groups by another method, and shares what is encoded."""
        settings = replace(self.settings, method=method)
        return TemplateMaker(
            self.backbone, self.dataset, self._cache, settings, self._expected, self.texts
        )

    def accuracy(self, groups: Groups) -> float | None:
        """Returns the accuracy of groups on the validation images, in percent, untrained."""
        templates = [template for group in groups.values() for template in group]
        sizes = [len(group) for group in groups.values()]
        if self.validation is None:
            return None
        return self._accuracy(self.texts.of(templates), np.repeat(np.arange(len(sizes)), sizes))

    def _accuracy(self, features: Tensor, labels: np.ndarray) -> float:
        """Returns the accuracy in percent of groups (templates,) on the validation images."""
        assert self.validation is not None
        inside = labels != LEFT
        prototypes = prototypes_of(features[inside], torch.from_numpy(labels[inside]))
        images = self.validation
        scale = self.backbone.logit_scale
        return routed_accuracy(images.features, images.labels, prototypes, scale)

    def _controls(self, groups: Groups, templates: Sequence[str]) -> dict[str, Control]:
        tokenizer = self.backbone.text.tokens.tokenizer
        found = controls(
            groups,
            templates,
            self.dataset.templates.groups,
            tokenizer,
            self.class_names,
            self.settings.seed,
        )
        kept = {}
        for name, some in found.items():
            # With a very long class name, random words may not fit into the CLIP's context.
            with suppress(UserError):
                kept[name] = Control(some, self.accuracy(some))
        return kept

    def _drawn(self) -> tuple[list[Item], list[Item]]:
        """Returns the few-shot training and validation items of the encoded classes.

        They are those of a run: classes are selected after sampling. Validation images that are
        the test images too are left out, because nothing may be chosen on these.
        """
        train = self.dataset.items("train")
        val = () if self.dataset.val_is_test else self.dataset.items("val")
        chosen, chosen_val = few_shot(
            [item.label for item in train],
            [item.label for item in val],
            self.settings.shots,
            self.settings.seed,
        )
        used = set(self.encoded)
        return (
            [train[index] for index in chosen if train[index].label in used],
            [val[index] for index in chosen_val if val[index].label in used],
        )

    def _images(self, items: Sequence[Item]) -> Images:
        features = self._cache.features(self.dataset, items)[:, 0]
        return Images(features, positions_of([item.label for item in items], self.encoded))


def _named(templates: Sequence[str], vectors: np.ndarray, labels: np.ndarray) -> Groups:
    """Returns groups by name, each with its medoid first."""
    ordered = [
        [templates[i] for i in medoid_first(vectors, np.flatnonzero(labels == number))]
        for number in range(int(labels.max()) + 1)
    ]
    return as_groups(dict(zip(group_names(ordered), ordered, strict=True)))


def _left_out(judged: Sequence[Judged], left: set[str]) -> tuple[Judged, ...]:
    """Returns candidates, of which the kept ones in `left` are marked as in no group."""
    return tuple(
        replace(one, in_no_group=True) if one.kept and one.template in left else one
        for one in judged
    )


def _none_kept(judged: Sequence[Judged]) -> str:
    """Returns the message for candidates of which none was kept."""
    if not judged:
        return "There is no candidate for a template."
    first = judged[0]
    number = (
        "The only candidate was" if len(judged) == 1 else f"All {len(judged):,} candidates were"
    )
    return (
        f"{number} refused, so there is nothing to group. For example {first.template!r}: "
        f"{first.reason}."
    )
