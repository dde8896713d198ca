"""Groups of templates by the images that they help."""

from itertools import combinations

import numpy as np
import pytest
import torch

from mocoop.template_making.image_groups import (
    LEFT,
    around,
    choose_by_images,
    chosen_templates,
    reached,
    true_probabilities,
)


def three_styles():
    """Returns probabilities (12, 30): two templates for each of three styles, and six of none."""
    probabilities = torch.full((12, 30), 0.1)
    for style in range(3):
        probabilities[2 * style : 2 * style + 2, 10 * style : 10 * style + 10] = 0.9
    probabilities[6:] = 0.3  # better than those of a style on the mean image: 0.37 > 0.3
    return probabilities + 0.01 * torch.rand(12, 30, generator=torch.Generator().manual_seed(1))


def vectors_of(count):
    return np.eye(count, count + 1)


def test_probability_of_the_true_class():
    images, text = torch.eye(3), torch.stack([torch.eye(3), torch.eye(3).roll(1, 0)])
    found = true_probabilities(images, torch.arange(3), text, 2.0)
    right = np.exp(2) / (np.exp(2) + 2)
    assert found[0].tolist() == pytest.approx([right] * 3)
    assert found[1].tolist() == pytest.approx([1 / (np.exp(2) + 2)] * 3)


def test_two_templates_of_each_style_are_found():
    path = chosen_templates(three_styles(), 8)
    assert [len(some) for some in path] == list(range(1, 9))
    assert set(path[5]) == set(range(6))


def test_exchanges_come_near_the_best_choice():
    probabilities = torch.rand(9, 40, generator=torch.Generator().manual_seed(2))
    for chosen in chosen_templates(probabilities, 5)[1:]:
        best = max(reached(probabilities, some) for some in combinations(range(9), len(chosen)))
        assert reached(probabilities, chosen) > 0.99 * best


def test_groups_around_the_chosen():
    vectors = np.array([[1.0, 0.0], [0.999, 0.045], [0.0, 1.0], [-1.0, 0.0]])
    assert around(vectors, [0, 2]).tolist() == [0, 0, 1, LEFT]
    assert around(vectors, [1, 0]).tolist() == [1, 0, LEFT, LEFT]


def test_a_number_must_be_stable_when_the_images_change():
    """Three templates differ from draw to draw; six are always the same."""
    probabilities, vectors = three_styles(), vectors_of(12)
    fewest = lambda labels: -float(labels.max())
    chosen = choose_by_images(vectors, probabilities, 1, 0, fewest)
    stable = [one.count for one in chosen.tried if one.stability > 0.7]
    assert (stable[0], chosen.best.count) == (5, 5)
    assert "of those numbers whose groups stay nearly the same" in chosen.why
    noise = torch.rand(12, 12, generator=torch.Generator().manual_seed(0))
    unstable = choose_by_images(vectors, noise, 1, 0, fewest)
    assert unstable.best.count == 3
    assert "with no number do the groups stay nearly the same" in unstable.why


def test_the_number_of_groups():
    """By validation images; without them as long as one more adds something; or given."""
    probabilities, vectors = three_styles(), vectors_of(12)
    known = choose_by_images(vectors, probabilities, 1, 0, lambda labels: -abs(labels.max() - 4))
    assert known.best.groups == 5
    assert known.best.stability <= 1.0
    assert choose_by_images(vectors, probabilities, 1).best.groups == 6
    assert choose_by_images(vectors, probabilities, 1, 2).best.groups == 2
    assert choose_by_images(vectors, probabilities, 1, 1).why == "the number was given"
    far = choose_by_images(vectors[:2], probabilities[:2], 1, 5)
    assert (far.best.groups, far.why) == (
        2, "the number was given; there are only 2 different templates",
    )  # fmt: skip
