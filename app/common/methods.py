"""How the app speaks of methods, from their records."""

from __future__ import annotations

from dataclasses import replace

from mocoop.classifiers.base import Routed
from mocoop.config import TrainConfig
from mocoop.method_record import Method
from mocoop.methods import METHODS
from mocoop.runs.run import RunSetup


def menu_label(method: Method) -> str:
    """Returns a method's line in the menu of methods."""
    return f"{method.family}: {method.label}"


def method_called(text: str) -> str | None:
    """Returns the method that an address means by its key, name or menu line; None if none."""
    wanted = text.strip().lower()
    for key, method in METHODS.items():
        if wanted in (key, method.label.lower(), menu_label(method).lower()):
            return key
    return None


def method_name(config: TrainConfig) -> str:
    """Returns the name of a run's method."""
    return METHODS[config.method].label


def learns_prompts(config: TrainConfig) -> bool:
    """Returns whether the method learns soft prompts, which can be looked at."""
    return METHODS[config.method].learns_prompts


def has_epochs(config: TrainConfig) -> bool:
    """Returns whether the training is told epoch by epoch."""
    return config.epochs > 0 and learns_prompts(config)


def how_it_answers(config: TrainConfig) -> str:
    """Returns in a sentence how a method without a router answers."""
    return METHODS[config.method].answers


def start_of(config: TrainConfig, template: str) -> str:
    """Returns what the classifier of a method without a router starts from, in words.

    Args:
        config: the settings.
        template: the plain prompt, the first template of its group.
    """
    words = METHODS[config.method].starts_from
    if words:
        return words.format(template=template)
    if config.context_init == "random":
        return f"{config.context_tokens} random tokens and the class name"
    if config.context_init == "template":
        return f"“{template}”"
    if config.name_position == "middle":
        return f"“{config.context_words}” with the class name in the middle"
    return f"“{config.context_words} {{}}.”"


def experts_in_words(routed: Routed, made_of: RunSetup) -> tuple[Routed, dict[str, str]]:
    """Returns a routing whose one expert bears its method's name, and what experts start from.

    Args:
        routed: what a run's classifier says of images.
        made_of: what the run was made of.
    """
    first = [templates[0] for templates in made_of.groups.values()]
    if len(routed.experts) > 1:
        return routed, {
            name: f"“{template}”" for name, template in zip(routed.experts, first, strict=True)
        }
    name = method_name(made_of.config)
    return replace(routed, experts=(name,)), {name: start_of(made_of.config, first[0])}
