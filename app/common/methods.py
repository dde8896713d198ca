"""Words for methods, taken from the table of methods."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from mocoop.config import TrainConfig
from mocoop.method_record import Method
from mocoop.methods import METHODS
from mocoop.runs.run import RunSetup

if TYPE_CHECKING:  # Home is shown without torch
    from mocoop.classifiers.base import Routed


def menu_label(method: Method) -> str:
    """Returns a method's entry in the menu of methods."""
    return f"{method.family}: {method.label}"


def method_called(text: str) -> str | None:
    """Returns the key of the method that a link names by key, label or menu entry, or None."""
    wanted = text.strip().lower()
    for key, method in METHODS.items():
        if wanted in (key, method.label.lower(), menu_label(method).lower()):
            return key
    return None


def method_name(config: TrainConfig) -> str:
    """Returns the name of a run's method."""
    return METHODS[config.method].label


def learns_prompts(config: TrainConfig) -> bool:
    """Returns whether the method learns soft prompts, which the app can show."""
    return METHODS[config.method].learns_prompts


def has_epochs(config: TrainConfig) -> bool:
    """Returns whether the training reports its progress epoch by epoch."""
    return config.epochs > 0 and METHODS[config.method].reports_epochs


def how_it_answers(config: TrainConfig) -> str:
    """Returns a sentence that says how a method without a router predicts."""
    return METHODS[config.method].answers


def start_of(config: TrainConfig, template: str) -> str:
    """Returns in words what the classifier of a method without a router starts from.

    Args:
        config: the settings of the training.
        template: the plain prompt, which is the first template of its group.
    """
    words = METHODS[config.method].starts_from
    if words:
        return words.format(template=template)
    if config.context_init == "random":
        tokens = f"{config.context_tokens} random tokens"
        in_front = config.name_position == "front"
        return f"the class name and {tokens}" if in_front else f"{tokens} and the class name"
    if config.context_init == "template":
        return f"“{template}”"
    if config.name_position == "front":
        return f"“{{}} {config.context_words}.”"
    if config.name_position == "middle":
        return f"“{config.context_words}” with the class name in the middle"
    return f"“{config.context_words} {{}}.”"


def experts_in_words(routed: Routed, setup: RunSetup) -> tuple[Routed, dict[str, str]]:
    """Returns the routing with readable names of experts, and what each expert starts from.

    A single expert takes the name of its method.

    Args:
        routed: the output of a run's classifier.
        setup: the run's setup.
    """
    first = [templates[0] for templates in setup.groups.values()]
    if len(routed.experts) > 1:
        return routed, {
            name: f"“{template}”" for name, template in zip(routed.experts, first, strict=True)
        }
    name = method_name(setup.config)
    return replace(routed, experts=(name,)), {name: start_of(setup.config, first[0])}
