"""Chooses the number of experts before a training, by short trainings on validation images.

After each short training some changes are tried: two experts that the same images choose become
one, one that few images choose is left out, and one whose images like different templates is
split. The best one is kept if it is not worse on the validation images (with fewer experts), or
better (with more).
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, replace

import torch
from torch import Tensor

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.mixture import predict
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.expert_steps import Change, ExpertStep
from mocoop.templates import Groups
from mocoop.training.loop import fit
from mocoop.training.model_checks import check_model
from mocoop.training.prepare import Prepared, training_data
from mocoop.training.ranks import take_from_first

SHARE = 3  # a short training has a third of the epochs
ROUNDS = 4  # changes that can be kept
TOGETHER = 0.5  # of the images that choose one of two experts, those that choose both
RARELY = 0.5  # of an expert's fair share of the weight
LEAST_IMAGES = 0.1  # of an expert's images, in the smaller half of a split


@dataclass(frozen=True)
class Trial:
    """A short training with some groups, one expert each."""

    groups: Groups
    accuracy: float
    """On the validation images, in percent."""
    weights: Tensor
    """(training images, experts), of the router; zero for experts that are not chosen."""
    liking: Tensor
    """(training images, templates): cosine of each image and each template of its true class."""


@dataclass(frozen=True)
class Proposal:
    """Other groups to try."""

    change: Change
    experts: tuple[str, ...]
    groups: Groups


def choose_experts(
    prepared: Prepared, cache: FeatureCache, progress: Callable[[int], None] | None = None
) -> tuple[Prepared, tuple[ExpertStep, ...]]:
    """Returns the inputs of a run with the chosen groups, and the steps of the choice.

    The same inputs give the same choice.

    Args:
        prepared: the inputs of the run, with the groups to start from.
        cache: image features of the frozen image tower.
        progress: called with the number of each short training, from 1, before it starts.
    """
    every = [template for some in prepared.groups.values() for template in some]
    names = prepared.dataset.class_names
    (encoded,) = hard_features(prepared.backbone.text, {"": tuple(every)}, names)
    hard = dict(zip(every, encoded, strict=True))  # template → (classes, dim)
    steps: list[ExpertStep] = []

    def tried(groups: Groups) -> Trial:
        if progress is not None:
            progress(len(steps) + len(pending) + 1)
        return _trial(prepared, groups, hard, cache)

    pending: list[tuple[Proposal, Trial]] = []
    now = tried(prepared.groups)
    steps.append(ExpertStep("start", (), len(now.groups), now.accuracy, True))
    for _ in range(ROUNDS):
        for proposal in _proposals(now, prepared.config.num_chosen):
            if _fits(prepared, proposal.groups):
                pending.append((proposal, tried(proposal.groups)))
        best = max(pending, key=lambda one: (one[1].accuracy, -len(one[1].groups)), default=None)
        better = best is not None and _better(best[1], now)
        for one in pending:
            proposal, trial = one
            steps.append(
                ExpertStep(
                    proposal.change,
                    proposal.experts,
                    len(trial.groups),
                    trial.accuracy,
                    better and one is best,
                )
            )
        pending = []
        if best is None or not better:
            break
        now = best[1]
    config = replace(prepared.config, groups=now.groups)
    return replace(prepared, config=config, groups=now.groups), tuple(steps)


def short(config: TrainConfig) -> TrainConfig:
    """Returns the settings of a short training."""
    epochs = math.ceil(config.epochs / SHARE)
    steps = max(epochs, config.steps_per_shot // SHARE) if config.steps_per_shot else 0
    return replace(
        config,
        epochs=epochs,
        warmup_epochs=min(config.warmup_epochs, epochs - 1),
        steps_per_shot=steps,
        aggregation="none",
    )


def _fits(prepared: Prepared, groups: Groups) -> bool:
    """Returns whether a model can be made of groups: each half of a split starts a prompt anew."""
    try:
        config, names = replace(prepared.config, groups=groups), prepared.dataset.class_names
        check_model(config, prepared.backbone, groups, names)
    except UserError:
        return False
    return True


def _better(trial: Trial, now: Trial) -> bool:
    """Returns whether a change is kept: fewer experts need not be better, only as good."""
    if len(trial.groups) < len(now.groups):
        return trial.accuracy >= now.accuracy
    return trial.accuracy > now.accuracy


def _trial(
    prepared: Prepared, groups: Groups, hard: Mapping[str, Tensor], cache: FeatureCache
) -> Trial:
    """Returns a short training with some groups; the run's seed draws all that is random."""
    config = short(replace(prepared.config, groups=groups))
    prepared = replace(prepared, config=config, groups=groups)
    backbone, count = prepared.backbone, len(prepared.trained)
    parts = [torch.stack([hard[one] for one in templates]) for templates in groups.values()]
    prototypes = group_prototypes(parts)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, backbone, groups, generator, count)
    data = training_data(prepared, parts, prototypes, cache)
    accuracy = 0.0
    for record in fit(model, backbone.text, data, config, generator):
        accuracy = record.val_accuracy or 0.0
    classes = ClassTokens.from_names(backbone.text.tokens, data.class_names).first(count)
    images = data.train.plain(model)
    found = predict(model, backbone.text, classes, images)
    templates = torch.cat(parts)  # (templates, classes, dim)
    frozen = images[:, -templates.shape[-1] :]
    liking = torch.stack([(frozen * one[data.train_labels]).sum(dim=1) for one in templates])
    place = liking.device if liking.is_cuda else torch.device("cpu")  # not all have float64
    reached = torch.tensor(accuracy, dtype=torch.float64, device=place)
    take_from_first((reached, found.weights, liking))
    return Trial(groups, float(reached), found.weights.cpu(), liking.T.cpu())


def _proposals(trial: Trial, num_chosen: int) -> Iterator[Proposal]:
    """Yields what to try after a short training: at most one change of each kind."""
    names = list(trial.groups)
    if len(names) > max(2, num_chosen):
        pair = _together(trial.weights)
        if pair is not None:
            yield Proposal("merge", (names[pair[0]], names[pair[1]]), _merged(trial, *pair))
        rarest = int(trial.weights.mean(dim=0).argmin())
        if float(trial.weights[:, rarest].mean()) < RARELY / len(names):
            left = {name: some for name, some in trial.groups.items() if name != names[rarest]}
            yield Proposal("drop", (names[rarest],), left)
    first = trial.weights.argmax(dim=1)
    by_use = torch.bincount(first, minlength=len(names)).argsort(descending=True, stable=True)
    for expert in by_use.tolist():
        halves = _halves(trial, expert, first == expert)
        if halves is not None:
            yield Proposal("split", (names[expert],), _split(trial, expert, halves))
            return


def _together(weights: Tensor) -> tuple[int, int] | None:
    """Returns the two experts that images most often choose together; None if they rarely do."""
    chosen = (weights > 0).double()
    both = chosen.T @ chosen  # (experts, experts)
    each = chosen.sum(dim=0)
    share = both / (each[:, None] + each - both).clamp(min=1.0)
    share = share.triu(diagonal=1)
    place = int(share.argmax())
    pair = place // len(share), place % len(share)
    return pair if float(share[pair]) > TOGETHER else None


def _halves(trial: Trial, expert: int, images: Tensor) -> tuple[list[str], list[str]] | None:
    """Returns an expert's templates in two halves that different images of it like; or None.

    The images are divided by the sign of the first principal component of how much they like
    each of the templates, beside the others.
    """
    templates = list(trial.groups.values())[expert]
    before = sum(len(some) for some in list(trial.groups.values())[:expert])
    count = int(images.sum())
    if len(templates) < 2 or count < 2:
        return None
    liking = trial.liking[images, before : before + len(templates)].double()
    liking = liking - liking.mean(dim=1, keepdim=True)
    spread = liking - liking.mean(dim=0)
    component = torch.linalg.svd(spread, full_matrices=False).Vh[0]
    side = spread @ component > 0
    if min(int(side.sum()), count - int(side.sum())) < max(1.0, LEAST_IMAGES * count):
        return None
    prefers = liking[side].mean(dim=0) > liking[~side].mean(dim=0)
    one = [text for text, yes in zip(templates, prefers.tolist(), strict=True) if yes]
    other = [text for text in templates if text not in one]
    return (one, other) if one and other else None


def _merged(trial: Trial, first: int, second: int) -> Groups:
    """Returns groups in which two are one, at the place of the first."""
    names = list(trial.groups)
    others = [name for index, name in enumerate(names) if index not in (first, second)]
    joined = f"{names[first]} + {names[second]}"
    if joined in others:
        joined = next(_numbered(joined, others))
    both = dict.fromkeys((*trial.groups[names[first]], *trial.groups[names[second]]))
    return {
        joined if index == first else name: tuple(both) if index == first else trial.groups[name]
        for index, name in enumerate(names)
        if index != second
    }


def _split(trial: Trial, expert: int, halves: tuple[list[str], list[str]]) -> Groups:
    """Returns groups in which one is two, whose halves have its name and a number."""
    found: dict[str, tuple[str, ...]] = {}
    for index, (name, templates) in enumerate(trial.groups.items()):
        if index != expert:
            found[name] = templates
            continue
        for half, own in zip(halves, _numbered(name, trial.groups), strict=False):
            found[own] = tuple(half)
    return found


def _numbered(name: str, taken: Collection[str]) -> Iterator[str]:
    """Yields a name with the numbers 1, 2 ..., without names that other groups have."""
    numbered = (f"{name} {number}" for number in itertools.count(1))
    return (own for own in numbered if own not in taken)
