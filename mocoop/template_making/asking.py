"""Has a chat model write templates: one question per factor, asked again where none is good."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from mocoop.template_making.calls import Call, Reply, candidates_of
from mocoop.template_making.candidates import Candidate, Judged
from mocoop.template_making.factors import FACTORS, Factor
from mocoop.templates import SLOT, fill

NAMES = 10  # class names that the model is shown
ROUNDS = 3
SHOWN = 40  # accepted templates that the model is asked not to repeat
SYSTEM = (
    "You write short captions of images, in which a slot stands for what is shown. They are "
    "prompts for an image classifier (CLIP). You answer with JSON alone, without any other text."
)


class Answers(Protocol):
    """What `mocoop.template_making.chat.ChatModel` offers."""

    model: str
    url: str

    def ask(self, system: str, prompt: str, seed: int) -> Reply:
        """Returns the model's answer."""


@dataclass(frozen=True)
class Wish:
    """What to ask for."""

    about: str = ""
    """What the data set shows, in a sentence; "" says nothing about it."""
    per_answer: int = 12
    """Templates that one answer should have."""
    samples: int = 3
    """Answers per factor, each with a seed of its own."""
    seed: int = 1
    """Seed of the first sample, and of the choice of class names."""


Judge = Callable[[Sequence[Candidate]], Sequence[Judged]]


def question(
    factor: Factor, wish: Wish, names: Sequence[str], accepted: Sequence[str] = ()
) -> str:
    """Returns the text that a model is asked about one factor.

    Args:
        factor: the factor.
        wish: the description of the data set and the number of templates.
        names: some class names, for orientation.
        accepted: templates that are there already.
    """
    about = wish.about.strip() or "images, each of which shows one of several classes"
    shown = ", ".join(fill(SLOT, name) for name in names)
    lines = [
        f"Data set: {about}",
        f"Some of its classes, for orientation only: {shown}",
        f"Write {wish.per_answer} different caption templates that vary {factor.asks}.",
        f"An example: {factor.example}",
        "Rules:",
        f"- exactly one {SLOT} in each, where a class name will stand, with spaces around it",
        "- each describes how an image could show ANY class of this data set",
        "- English, lower case, 3 to 12 words, a full stop at the end",
        "- no class name, no negation, no names of brands or people, no address, no markup",
        f'Answer with a JSON list of objects like {{"template": "{factor.example}", "factor": '
        f'"{factor.key}"}}.',
    ]
    if accepted:
        lines.append("These are there already, do not repeat them: " + " | ".join(accepted))
    return "\n".join(lines)


def some_names(class_names: Sequence[str], seed: int) -> list[str]:
    """Returns up to ten class names, drawn by the seed, in label order."""
    drawn = random.Random(seed).sample(range(len(class_names)), min(NAMES, len(class_names)))
    return [class_names[label] for label in sorted(drawn)]


def ask_for_templates(
    model: Answers,
    wish: Wish,
    class_names: Sequence[str],
    judge: Judge,
    progress: Callable[[int, int], None] | None = None,
) -> tuple[Call, ...]:
    """Returns every call of a chat model: prompt, settings, date and raw answer.

    Every factor is asked about `samples` times. Factors of which no template passes the checks
    are asked about again, in at most three rounds.

    Args:
        model: the chat model.
        wish: what to ask for.
        class_names: the classes that may be shown to the model.
        judge: checks candidates.
        progress: called with the numbers of answers done and in total.

    Raises:
        UserError: if the model cannot be asked.
    """
    names = some_names(class_names, wish.seed)
    calls: list[Call] = []
    accepted: list[Judged] = []
    for number in range(1, ROUNDS + 1):
        have = {judged.factor for judged in accepted}
        missing = [factor for factor in FACTORS if factor.key not in have]
        total = len(calls) + len(missing) * wish.samples
        for factor in missing:
            for sample in range(wish.samples):
                seed = wish.seed + (number - 1) * wish.samples + sample
                shown = [judged.template for judged in accepted[-SHOWN:]]
                prompt = question(factor, wish, names, shown)
                calls.append(_call(model, factor, number, prompt, seed))
                if progress is not None:
                    progress(len(calls), total)
            candidates = candidates_of(calls)
            accepted = [judged for judged in judge(candidates) if judged.kept]
        if not candidates:
            break  # a model that offers nothing at all is not asked 42 times more
    return tuple(calls)


def _call(model: Answers, factor: Factor, number: int, prompt: str, seed: int) -> Call:
    """Returns one call with its answer."""
    date = datetime.now(UTC).isoformat(timespec="seconds")
    reply = model.ask(SYSTEM, prompt, seed)
    return Call(
        factor.key, number, model.model, model.url, reply.settings, date, SYSTEM, prompt,
        reply.text, reply.ended,
    )  # fmt: skip
