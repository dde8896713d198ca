"""More features on a finished map: exact with PCA, between neighbours with UMAP."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.analysis.placing import nearness, place
from mocoop.analysis.projection import MapSettings, project
from mocoop.runs.features import SavedFeatures


@pytest.fixture
def flat(generator):
    """A map by PCA of 3 groups, 6 classes, one saved epoch."""
    draw = lambda *shape: F.normalize(torch.randn(*shape, 8, generator=generator), dim=-1)
    features = SavedFeatures({0: draw(3, 6)}, tuple(draw(2, 6) for _ in range(3)), draw(3, 6))
    return project(features, MapSettings("pca", 2))


def slow_pca(projection, features):
    """Returns the places by the principal axes of the points, computed from their covariance."""
    known = projection.points.features.double()
    mean = known.mean(dim=0)
    _, vectors = torch.linalg.eigh((known - mean).T @ (known - mean))
    axes = vectors.flip(1)[:, : projection.settings.dims]
    drawn = (known - mean) @ axes
    signs = (drawn * projection.coordinates.double()).sum(dim=0).sign()
    return ((features.double() - mean) @ (axes * signs)).float()


def test_pca_places_points_exactly(flat, generator):
    new = F.normalize(torch.randn(5, 8, generator=generator), dim=-1)
    torch.testing.assert_close(place(flat, new), slow_pca(flat, new), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("method", ["pca", "umap"])
def test_points_of_the_map_stay_where_they_are(flat, method):
    same = replace(flat, settings=replace(flat.settings, method=method))
    found = place(same, flat.points.features)
    torch.testing.assert_close(found, flat.coordinates, atol=2e-3, rtol=1e-3)


def test_umap_places_points_between_their_neighbours(flat, generator):
    same = replace(flat, settings=replace(flat.settings, method="umap"))
    new = F.normalize(torch.randn(4, 8, generator=generator), dim=-1)
    found = place(same, new)
    for feature, where in zip(new, found, strict=True):
        near = (flat.points.features @ feature).topk(3)
        weights = 1 / (1 - near.values + 1e-6)
        slow = (weights[:, None] * flat.coordinates[near.indices]).sum(0) / weights.sum()
        torch.testing.assert_close(where, slow, atol=1e-4, rtol=1e-4)


def test_nearness_of_a_groups_own_template(generator):
    prototypes = F.normalize(torch.randn(3, 4, 8, generator=generator), dim=-1)
    found = nearness(prototypes[1], prototypes)
    assert found[1].cosine == pytest.approx(1)
    assert [group.nearest for group in found] == [0, 1, 0]
    assert found[0].cosine == pytest.approx(
        sum(float(a @ b) for a, b in zip(prototypes[1], prototypes[0], strict=True)) / 4
    )
