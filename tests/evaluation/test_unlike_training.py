"""Distances to the training images, against scikit-learn's nearest neighbours."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.neighbors import NearestNeighbors

from mocoop.errors import UserError
from mocoop.evaluation import unlike_training
from mocoop.evaluation.unlike_training import TrainingDistances, training_distances
from mocoop.runs.run import Run
from tests.support.compare_example import copy_run


def features(count: int, seed: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(count, 12, generator=generator) + 1
    return torch.nn.functional.normalize(drawn, dim=-1)


@pytest.fixture
def known(monkeypatch):
    monkeypatch.setattr(unlike_training, "_AT_ONCE", 7)  # several parts
    return TrainingDistances.of(features(40, 1))


def test_own_distances_leave_each_image_out(known):
    search = NearestNeighbors(n_neighbors=2, metric="cosine").fit(known.features.numpy())
    expected = np.sort(search.kneighbors(known.features.numpy())[0][:, 1])
    np.testing.assert_allclose(known.own, expected, atol=1e-6)
    assert known.threshold == pytest.approx(np.quantile(expected, 0.95, method="higher"), abs=1e-6)


def test_pictures_are_judged_by_the_nearest(known):
    pictures = torch.cat([features(30, 2), -known.features[:1], known.features[3:4]])
    search = NearestNeighbors(n_neighbors=1, metric="cosine").fit(known.features.numpy())
    expected = search.kneighbors(pictures.numpy())[0][:, 0]
    found = known.distances(pictures)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    quantiles = known.quantiles(found)
    loop = [float(np.mean(known.own <= distance)) for distance in found]
    np.testing.assert_allclose(quantiles, loop)
    unlike = known.unlike(found)
    assert (unlike == (quantiles > 0.95)).all()
    assert unlike[-2]  # the opposite of an image
    assert quantiles[-2] == 1
    assert not unlike[-1]  # a training image itself
    assert found[-1] == pytest.approx(0, abs=1e-6)


def test_about_a_twentieth_of_the_training_images_is_above_the_threshold():
    known = TrainingDistances.of(features(200, 3))
    assert known.unlike(known.own).mean() == pytest.approx(0.05, abs=0.01)


def test_one_image_has_no_neighbour():
    with pytest.raises(UserError, match="At least two training images"):
        TrainingDistances.of(features(1, 1))


def test_of_a_run(finished_run, tmp_path):
    known = training_distances(finished_run)
    assert known.features.shape[0] == 2 * finished_run.setup().trained_classes
    untrained = copy_run(finished_run, tmp_path / "zero", method="zero-shot", epochs=0)
    with pytest.raises(UserError, match="Zero-shot has no training images"):
        training_distances(Run(untrained.path))
