"""Checks of candidates with the CLIP: length in tokens, near duplicates, and use on images."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor

from mocoop.prompt_encoder.tokens import TokenTable
from mocoop.template_making.candidates import Candidate, Judged
from mocoop.template_making.grouping import centred
from mocoop.template_making.text_features import Progress, TextFeatures, mean_vectors
from mocoop.template_making.word_checks import WordChecks, clean
from mocoop.templates import SLOT, fill

LEAST_TOKENS, MOST_TOKENS = 3, 16  # of a template, without the class name
NEAR = 0.95  # cosine of centred vectors above which two templates say the same
SAME = 1e-4  # length of the difference of two mean features that are equal
BELOW_MEDIAN = 5.0  # percentage points
COLLAPSE = 0.1  # by how much classes may be more alike than with the plain template
PLAIN = f"a photo of a {SLOT}."


@dataclass(frozen=True)
class Images:
    """Few-shot training images of the classes for which templates are encoded."""

    features: Tensor  # (images, dim), L2-normalised, on the CPU
    labels: Tensor  # (images,), positions among the encoded classes


@dataclass(frozen=True)
class Checks:
    """All checks of one data set with one CLIP.

    The checks see training images alone, never validation or test images.
    """

    words: WordChecks
    tokens: TokenTable
    longest: str
    """The class name with the most tokens."""
    texts: TextFeatures
    images: Images
    alone: bool = True
    """Whether a template must be of use alone, and not only beside others."""

    def judge(
        self, candidates: Sequence[Candidate], progress: Progress | None = None
    ) -> tuple[Judged, ...]:
        """Returns every candidate in order, refused ones with the reason.

        Args:
            candidates: texts as they came.
            progress: called with the numbers of templates encoded and in total.
        """
        judged = self._by_words(candidates)
        for step in (self._refuse_duplicates, self._refuse_useless):
            kept = [index for index, one in enumerate(judged) if one.kept]
            if kept:
                features = self.texts.of([judged[index].template for index in kept], progress)
                for index, one in zip(
                    kept, step([judged[i] for i in kept], features), strict=True
                ):
                    judged[index] = one
        return tuple(judged)

    def _by_words(self, candidates: Sequence[Candidate]) -> list[Judged]:
        """Returns the candidates after the checks that need no features."""
        judged, known = [], set()
        for candidate in candidates:
            template = clean(candidate.template)
            one = Judged(template, candidate.factor, self.words.problem(template))
            if one.kept and template in known:
                one = replace(one, reason="the same as an earlier candidate")
            if one.kept:
                known.add(template)
                one = self._counted(
                    replace(one, other_language=self.words.other_language(template))
                )
            judged.append(one)
        return judged

    def _counted(self, judged: Judged) -> Judged:
        """Returns a candidate with its numbers of tokens, refused if they do not suit."""
        before, after = judged.template.split(SLOT)
        first, second = (len(self.tokens.encode(part.strip())) for part in (before, after))
        judged = replace(judged, tokens_before=first, tokens_after=second)
        own = first + second
        if not LEAST_TOKENS <= own <= MOST_TOKENS:
            reason = (
                f"{own} tokens besides the class name; {LEAST_TOKENS} to {MOST_TOKENS} are used"
            )
            return replace(judged, reason=reason)
        filled = len(self.tokens.encode(fill(judged.template, self.longest))) + 2
        if filled > self.tokens.context_length:
            reason = (
                f"{filled} tokens with the class name {self.longest!r}; this CLIP reads at most "
                f"{self.tokens.context_length}"
            )
            return replace(judged, reason=reason)
        return judged

    def _refuse_duplicates(self, judged: Sequence[Judged], features: Tensor) -> list[Judged]:
        """Returns the candidates, without those whose features repeat those of a shorter one."""
        means = mean_vectors(features)
        vectors = centred(means)
        lengths = [one.tokens_before + one.tokens_after for one in judged]
        order = sorted(range(len(judged)), key=lambda i: (lengths[i], i))
        found = list(judged)
        kept: list[int] = []
        stack = np.zeros_like(vectors)
        raw = np.zeros_like(means)
        for index in order:
            count = len(kept)
            near = (stack[:count] @ vectors[index] > NEAR) & self.alone
            near |= np.linalg.norm(raw[:count] - means[index], axis=1) < SAME
            if near.any():
                twin = judged[kept[int(near.argmax())]].template
                found[index] = replace(judged[index], reason=f"nearly the same as {twin!r}")
            else:
                stack[count], raw[count] = vectors[index], means[index]
                kept.append(index)
        return found

    def _refuse_useless(self, judged: Sequence[Judged], features: Tensor) -> list[Judged]:
        """Returns the candidates with their accuracies, without those that do not help."""
        accuracies = [
            100.0
            * float(
                (self.images.features @ one.T).argmax(dim=1).eq(self.images.labels).float().mean()
            )
            for one in features
        ]
        plain = class_likeness(self.texts.of([PLAIN])[0])
        least = float(np.median(accuracies)) - BELOW_MEDIAN
        found = []
        for one, accuracy, feature in zip(judged, accuracies, features, strict=True):
            reason = ""
            if not self.alone:
                pass
            elif accuracy < least:
                reason = (
                    f"{accuracy:.1f} % of the training images, below {least:.1f} % (median minus "
                    f"{BELOW_MEDIAN:g})"
                )
            elif class_likeness(feature) > plain + COLLAPSE:
                reason = "makes all classes look alike"
            found.append(replace(one, accuracy=accuracy, reason=reason))
        return found


def class_likeness(features: Tensor) -> float:
    """Returns the mean cosine between different classes of unit features (classes, dim)."""
    count = len(features)
    if count < 2:
        return 0.0
    return float((features.sum(dim=0).square().sum() - count) / (count * (count - 1)))


def longest_name(tokens: TokenTable, class_names: Sequence[str]) -> str:
    """Returns the class name with the most tokens."""
    return max(class_names, key=lambda name: len(tokens.encode(fill(SLOT, name))))


def positions_of(labels: Sequence[int], encoded: Sequence[int]) -> Tensor:
    """Returns the positions of labels among the encoded classes."""
    place = {label: position for position, label in enumerate(encoded)}
    return torch.tensor([place[label] for label in labels], dtype=torch.long)
