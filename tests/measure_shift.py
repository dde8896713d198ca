"""Measures what the shift of a conditional prompt takes from the image; not a test.

python tests/measure_shift.py RUN [RUN …]

For every run of CoCoOp: the test accuracy when the prompt is shifted by the image itself, by
another image of the same style, and by an image of another style. If the second is near the first
and the third falls, the shift chooses by style, as a router does.
"""

from __future__ import annotations

import argparse

import torch

from mocoop.classifiers.prompts import ConditionalClassifier
from mocoop.classifiers.saved import open_classifier
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.features.cache import FeatureCache
from mocoop.model.image_shift import Pairs
from mocoop.model.mixture import IMAGES_AT_ONCE
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.runs.run import open_run


@torch.no_grad()
def accuracy(
    classifier: ConditionalClassifier,
    features: torch.Tensor,
    shifted_by: torch.Tensor,
    labels: torch.Tensor,
) -> float:
    """Returns the accuracy in percent when each prompt is shifted by another feature.

    Args:
        classifier: of the run.
        features: (images, dim), L2-normalised.
        shifted_by: (images, dim), the features that shift the prompts.
        labels: (images,).
    """
    model, tower = classifier.model, classifier.tower
    classes = ClassTokens.from_names(tower.tokens, classifier.class_names)
    right = 0
    for part, other, label in zip(
        *(values.split(IMAGES_AT_ONCE) for values in (features, shifted_by, labels)), strict=True
    ):
        pairs = Pairs.chosen(part.new_zeros(len(part), 1), 1)
        soft = model.pair_features(tower, classes, other, pairs)  # (images, classes, dim)
        logits = torch.einsum("bd,bcd->bc", part, soft)
        right += int((logits.argmax(dim=-1) == label).sum())
    return 100.0 * right / len(labels)


def measure(name: str) -> None:
    """Prints a run's numbers."""
    run = open_run(name)
    config = run.setup().config
    dataset = load_dataset(config.data)
    items = dataset.items("test")
    features = FeatureCache(load_backbone(config.backbone)).features(dataset, items)[:, 0]
    classifier = open_classifier(run)
    assert isinstance(classifier, ConditionalClassifier)
    labels = torch.tensor([item.label for item in items])
    generator = torch.Generator().manual_seed(1)
    others: dict[str, list[int]] = {"the same style": [], "another style": []}
    for item in items:
        for what, chosen in others.items():
            same = what == "the same style"
            pool = [
                index
                for index, other in enumerate(items)
                if (other.style == item.style) == same and other.label != item.label
            ]
            chosen.append(pool[int(torch.randint(len(pool), (1,), generator=generator))])
    own = accuracy(classifier, features, features, labels)
    print(f"{run.path}: shifted by the image itself {own:.1f} %")
    for what, chosen in others.items():
        found = accuracy(classifier, features, features[chosen], labels)
        print(f"  by an image of {what} and another class {found:.1f} %")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("runs", nargs="+")
    for one in parser.parse_args().runs:
        measure(one)
