"""Measures runs of a mixture with experts that the router did not choose; not a test.

python tests/measure_forced.py RUN [RUN …]

For every run: the test accuracy of the router's choice, of each image's least liked expert alone,
and of every expert alone, by style.
"""

from __future__ import annotations

import argparse

import torch
from torch import Tensor

from mocoop.classifiers.saved import open_classifier
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.evaluation.evaluate import route_items
from mocoop.features.cache import FeatureCache
from mocoop.runs.run import open_run


def percent(correct: Tensor) -> str:
    """Returns the share of ones as text."""
    return f"{100 * correct.float().mean().item():.1f}"


def measure(name: str) -> None:
    """Prints a run's numbers."""
    run = open_run(name)
    config = run.setup().config
    cache = FeatureCache(load_backbone(config.backbone))
    tested = route_items(open_classifier(run), load_dataset(config.data), cache)
    routed = tested.routed
    alone = routed.expert_probabilities.argmax(dim=-1) == tested.labels[:, None]
    right = routed.probabilities.argmax(dim=-1) == tested.labels
    least = alone.gather(1, routed.scores.argmin(dim=-1, keepdim=True))
    print(f"{run.path}: router {percent(right)} %, least liked expert {percent(least)} %")
    styles = [item.style or "" for item in tested.items]
    for style in dict.fromkeys(styles):
        own = torch.tensor([one == style for one in styles])
        shares = zip(routed.experts, alone[own].T, strict=True)
        each = ", ".join(f"{expert} {percent(correct)}" for expert, correct in shares)
        print(f"  {style}: router {percent(right[own])}; alone: {each}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    for one in parser.parse_args().runs:
        measure(one)
