"""One sentence for every term of the lessons, and the titles of the tables of their numbers."""

from __future__ import annotations

from collections.abc import Sequence

TERMS = {
    "prompt": "the words before a class name, such as *a photo of a*.",
    "soft prompt": "learned vectors that take the place of these words.",
    "hard prompt": "a prompt of written words, which is not learned.",
    "zero-shot accuracy": "the accuracy of the untrained prompt, *a photo of a {}*.",
    "base classes": "the half of the classes whose images are used for training.",
    "new classes": "the other half, which training never sees.",
    "epoch": "one pass over all training images.",
    "seed": "a number that decides which images are drawn and how a training starts; means over "
    "several seeds are more reliable.",
    "point": "one percent of the test images: from 40 % to 45 % are 5 points.",
    "learning rate": "how large the steps of a training are.",
    "text loss": "the second task, which keeps a learned prompt close to the hard ones; its "
    "*weight* says how much it counts.",
    "drift": "how far learned prompts have moved from their hard prompts: 1 − cosine.",
    "cosine": "how similar two vectors are: 1 for the same direction, 0 for unrelated ones.",
    "rank correlation": "from −1 to +1: whether two numbers rise together (+1), or one falls "
    "while the other rises (−1); 0 means neither.",
    "expert": "one of the prompts of MoCoOp.",
    "router": "the part of MoCoOp that chooses two experts for each picture.",
}


def terms(names: Sequence[str]) -> str:
    """Returns the explanation of these terms as a list in Markdown."""
    return "\n".join(f"- **{name}**: {TERMS[name]}" for name in names)


_PERCENT, _DRIFT = "%.1f", "%.3f"
_OVER_SEEDS = "Mean over the seeds, in percent."
COLUMNS: dict[str, tuple[str, str, str]] = {
    "method": ("method", "", ""),
    "half": ("classes", "", ""),
    "data": ("data set", "", ""),
    "shots": ("images per class", "", ""),
    "weight": ("text weight", "Weight of the text loss.", "%g"),
    "epoch": ("epoch", "", ""),
    "train": ("training images, %", f"Accuracy on the training images. {_OVER_SEEDS}", _PERCENT),
    "base": ("base, %", f"Accuracy on test images of the base classes. {_OVER_SEEDS}", _PERCENT),
    "new": ("new, %", f"Accuracy on test images of the new classes. {_OVER_SEEDS}", _PERCENT),
    "base low": ("base, lowest seed", "Accuracy with the lowest seed, in percent.", _PERCENT),
    "base high": ("base, highest seed", "Accuracy with the highest seed, in percent.", _PERCENT),
    "new low": ("new, lowest seed", "Accuracy with the lowest seed, in percent.", _PERCENT),
    "new high": ("new, highest seed", "Accuracy with the highest seed, in percent.", _PERCENT),
    "untrained": ("zero-shot, %", "Accuracy of the untrained prompt.", _PERCENT),
    "after": ("accuracy after training, %", _OVER_SEEDS, _PERCENT),
    "drift": ("drift", "1 − cosine to the hard prompts, mean over the seeds.", _DRIFT),
    "change": ("change, points", "Accuracy after training minus zero-shot, mean.", _PERCENT),
    "gain": (
        "gain of the router, points",
        "Router minus the better way without it, mean over seeds and halves.",
        _PERCENT,
    ),
    "headroom": (
        "possible gain, points",
        "Perfect choice of one expert minus a random one, mean over seeds and halves.",
        _PERCENT,
    ),
}
"""Column of a lesson's table → its title, what it means, and the format of its numbers."""
