"""What the app says of every method: name, kind, what it does and when it is of use."""

from __future__ import annotations

from dataclasses import dataclass, replace

from mocoop.classifiers.base import Routed
from mocoop.config import TrainConfig
from mocoop.runs.run import RunSetup

MIXTURE, ONE_PROMPT, NO_PROMPT = "Mixture", "One prompt", "No learnt prompt"


@dataclass(frozen=True)
class Method:
    """A method in words."""

    name: str
    kind: str
    does: str
    """One sentence."""
    use: str
    """When it is of use, in one sentence."""

    @property
    def label(self) -> str:
        """Its line in the menu of methods."""
        return f"{self.kind}: {self.name}"


METHODS = {
    "mocoop": Method(
        "MoCoOp",
        MIXTURE,
        "Several learnt prompts, one per style; a router picks some for every image.",
        "For pictures of many styles, and to see what a router does.",
    ),
    "mocoop-ln": Method(
        "MoCoOp + LayerNorms",
        MIXTURE,
        "The mixture, and the LayerNorms of CLIP's image side are tuned with it.",
        "The paper's full recipe; far slower, as every step encodes the pictures anew.",
    ),
    "coop": Method(
        "CoOp",
        ONE_PROMPT,
        "One learnt prompt for every image, and nothing that holds it back.",
        "The classic to compare with, and to show how prompts overfit.",
    ),
    "cocoop": Method(
        "CoCoOp",
        ONE_PROMPT,
        "One learnt prompt that every image shifts a little.",
        "Made for classes never seen in training; slow, as each image has texts of its own.",
    ),
    "prograd": Method(
        "ProGrad",
        ONE_PROMPT,
        "One learnt prompt; what contradicts the plain prompt is cut out of every step.",
        "Shows that forgetting can be held back without another loss.",
    ),
    "kgcoop": Method(
        "KgCoOp",
        ONE_PROMPT,
        "One learnt prompt that is pulled back towards the plain one.",
        "The simplest cure for overfitting: one weight, to turn up and down.",
    ),
    "lasp": Method(
        "LASP",
        ONE_PROMPT,
        "One learnt prompt that has to tell the classes apart by all hard templates too.",
        "The mixture's nearest kin: shows what several experts add.",
    ),
    "lasp-v": Method(
        "LASP-V",
        ONE_PROMPT,
        "LASP whose text loss also knows the names of classes without pictures.",
        "For training on half of the classes when the other names are known.",
    ),
    "lasp-ln": Method(
        "LASP + LayerNorms",
        ONE_PROMPT,
        "LASP, and the LayerNorms of CLIP's image side are tuned with it.",
        "The published recipe of LASP; far slower than LASP.",
    ),
    "lasp-v-ln": Method(
        "LASP-V + LayerNorms",
        ONE_PROMPT,
        "LASP-V, and the LayerNorms of CLIP's image side are tuned with it.",
        "The published recipe of LASP-V; far slower than LASP-V.",
    ),
    "zero-shot": Method(
        "Zero-shot",
        NO_PROMPT,
        "No training: the plain prompt and the frozen CLIP.",
        "What every training should beat.",
    ),
    "ensemble": Method(
        "Ensemble",
        NO_PROMPT,
        "No training: the mean of all hard templates takes the place of one prompt.",
        "Shows how far good wording alone goes.",
    ),
    "linear-probe": Method(
        "Linear probe",
        NO_PROMPT,
        "Logistic regression on image features; the class names are not used.",
        "Shows what pictures alone teach; it cannot name a class without pictures.",
    ),
    "tip-adapter": Method(
        "Tip-Adapter",
        NO_PROMPT,
        "The plain prompt, and the training pictures vote for what looks like them.",
        "Done in an instant: what the pictures add without any training.",
    ),
    "tip-adapter-f": Method(
        "Tip-Adapter-F",
        NO_PROMPT,
        "Tip-Adapter whose stored picture features are then trained.",
        "A quick rival of prompt learning when there are many pictures per class.",
    ),
}


def method_called(text: str) -> str | None:
    """Returns the method that an address means by its key, name or menu line; None if none."""
    wanted = text.strip().lower()
    for key, method in METHODS.items():
        if wanted in (key, method.name.lower(), method.label.lower()):
            return key
    return None


def method_name(config: TrainConfig) -> str:
    """Returns the name of a run's method."""
    return METHODS[config.method].name


def learns_prompts(config: TrainConfig) -> bool:
    """Returns whether the method learns soft prompts, which can be looked at."""
    return METHODS[config.method].kind != NO_PROMPT


def has_epochs(config: TrainConfig) -> bool:
    """Returns whether the training is told epoch by epoch."""
    return config.epochs > 0 and config.method != "tip-adapter-f"


def how_it_answers(config: TrainConfig) -> str:
    """Returns in a sentence how a method without a router answers."""
    return {
        "linear-probe": "A linear probe weighs the image features themselves, without any text.",
        "tip-adapter": "Every image is compared with the plain prompt and the training images.",
        "tip-adapter-f": "Every image is compared with the plain prompt and a trained cache.",
        "cocoop": "Its one prompt changes a little with every image.",
    }.get(config.method, "Every image is compared with the same text features.")


def start_of(config: TrainConfig, template: str) -> str:
    """Returns what the classifier of a method without a router starts from, in words.

    Args:
        config: the settings.
        template: the plain prompt, the first template of its group.
    """
    if config.method == "linear-probe":
        return "no words: weights on image features"
    if config.method == "ensemble":
        return "the mean of all templates"
    if config.method.startswith("tip-adapter"):
        return f"“{template}” and training images"
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
