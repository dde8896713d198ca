"""Maps, drift and the value of routing against slow and obvious computations."""

from __future__ import annotations

import errno
import os
from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from mocoop.analysis import projection as projection_module
from mocoop.analysis.drift import drift_table, nearest_words, share_outside_span
from mocoop.analysis.projection import (
    HARD,
    PROTOTYPE,
    SOFT,
    MapSettings,
    is_ready,
    project,
    projection_key,
    projection_of,
    sample_classes,
)
from mocoop.classifiers.saved import open_classifier
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import route_items
from mocoop.evaluation.routing_value import routing_value, selection_items
from mocoop.features.cache import FeatureCache
from mocoop.model.soft_prompts import SoftPrompts, prompt_starts
from mocoop.presets import preset
from mocoop.runs.features import SavedFeatures
from mocoop.runs.run import Run

PCA = MapSettings("pca")


@pytest.fixture
def features(generator):
    """Three groups with 2, 1 and 3 templates, four classes, two saved epochs, 8 dimensions."""

    def draw(*shape):
        return F.normalize(torch.randn(*shape, 8, generator=generator), dim=-1)

    hard = (draw(2, 4), draw(1, 4), draw(3, 4))
    prototypes = torch.stack([F.normalize(part.mean(dim=0), dim=-1) for part in hard])
    return SavedFeatures({0: draw(3, 4), 5: draw(3, 4)}, hard, prototypes)


@pytest.fixture
def run(features, tmp_path):
    """A run folder with nothing but features."""

    class FeaturesOnly(Run):
        def features(self):
            return features

    (tmp_path / "run").mkdir()
    return FeaturesOnly(tmp_path / "run")


def rows(features):
    """Returns all features as rows, in the order hard, prototypes, soft by epoch."""
    parts = [*features.hard, features.prototypes, *features.soft.values()]
    return torch.cat([part.reshape(-1, part.shape[-1]) for part in parts]).numpy()


@pytest.mark.parametrize("dims", [2, 3])
def test_pca_is_the_svd_of_all_centred_points(features, dims):
    made = project(features, MapSettings("pca", dims))
    matrix = rows(features).astype(np.float64)
    left, sizes, _ = np.linalg.svd(matrix - matrix.mean(axis=0), full_matrices=False)
    expected = left[:, :dims] * sizes[:dims]
    assert made.coordinates.shape == (len(matrix), dims)
    for axis in range(dims):
        found = made.coordinates[:, axis].numpy()
        sign = np.sign(found @ expected[:, axis])
        np.testing.assert_allclose(found, sign * expected[:, axis], atol=1e-5)


def test_every_row_says_what_it_is(features):
    points = project(features, PCA).points
    torch.testing.assert_close(points.features, torch.from_numpy(rows(features)))
    assert [(points.kind == kind).sum() for kind in (HARD, PROTOTYPE, SOFT)] == [24, 12, 24]
    for row in range(len(points.kind)):
        kind, group = int(points.kind[row]), int(points.group[row])
        label, template = int(points.label[row]), int(points.template[row])
        epoch = int(points.epoch[row])
        if kind == HARD:
            expected = features.hard[group][template, label]
        elif kind == PROTOTYPE:
            expected = features.prototypes[group, label]
        else:
            expected = features.soft[epoch][group, label]
        torch.testing.assert_close(points.features[row], expected)
        assert (template >= 0) == (kind == HARD)
        assert (epoch >= 0) == (kind == SOFT)


def test_the_fit_is_joint(features, monkeypatch):
    seen = []

    def fit(matrix, settings):
        seen.append(matrix)
        return matrix[:, : settings.dims]

    monkeypatch.setattr(projection_module, "fit_umap", fit)
    project(features)
    project(features, epochs=[5])
    np.testing.assert_array_equal(seen[0].numpy(), rows(features))
    assert len(seen[1]) == 24 + 12 + 12
    with pytest.raises(UserError, match=r"saved epochs \(0, 5\); got \[3\]"):
        project(features, PCA, epochs=[3])


def test_moving_one_soft_point_moves_hard_points_of_the_map(features):
    soft = {epoch: value.clone() for epoch, value in features.soft.items()}
    soft[5][0] = F.normalize(torch.ones(8), dim=0)
    moved = project(replace(features, soft=soft), PCA)
    before = project(features, PCA)
    is_hard = before.points.kind == HARD
    assert not torch.allclose(before.coordinates[is_hard], moved.coordinates[is_hard], atol=1e-3)


@pytest.mark.long
def test_umap_repeats_itself(features):
    settings = MapSettings("umap", rounds=5)
    first, second = project(features, settings), project(features, settings)
    assert torch.equal(first.coordinates, second.coordinates)
    assert first.coordinates.shape == (60, 2)
    assert set(first.trustworthiness) == {"hard", "soft"}


@pytest.mark.long
def test_a_fit_leaves_the_number_of_threads_as_it_was(features):
    """Numba would set it to the number of cores, for everything that comes after."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        project(features)
        assert torch.get_num_threads() == 1
    finally:
        torch.set_num_threads(before)


def test_a_map_is_read_back_and_not_fitted_again(run, tmp_path, monkeypatch):
    cache = tmp_path / "cache"
    assert not is_ready(run, PCA, cache_folder=cache)
    made = projection_of(run, PCA, cache_folder=cache)
    assert is_ready(run, PCA, cache_folder=cache)
    assert len(list(run.path.glob("projection-*.safetensors"))) == 1
    assert not cache.exists()
    monkeypatch.setattr(projection_module, "fit_pca", None)
    again = projection_of(run, PCA, cache_folder=cache)
    assert torch.equal(again.coordinates, made.coordinates)
    assert again.trustworthiness == made.trustworthiness
    assert torch.equal(again.points.label, made.points.label)


def test_a_shipped_run_is_not_written_to(run, tmp_path, monkeypatch):
    monkeypatch.setattr("mocoop.runs.run.shipped_runs", lambda: tmp_path)
    projection_of(run, PCA, cache_folder=tmp_path / "cache")
    assert not list(run.path.iterdir())
    assert len(list((tmp_path / "cache" / "projections").iterdir())) == 1


def test_a_run_that_must_not_be_changed_is_not_written_to(run, tmp_path):
    projection_of(run, PCA, cache_folder=tmp_path / "cache", in_run=False)
    assert not list(run.path.iterdir())
    assert is_ready(run, PCA, cache_folder=tmp_path / "cache")


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EACCES, errno.EROFS])
def test_a_map_that_cannot_be_saved_is_returned_or_told(run, tmp_path, monkeypatch, code):
    def refuse(path, *_):
        raise OSError(code, os.strerror(code), str(path))

    monkeypatch.setattr(projection_module, "write_tensors", refuse)
    made = projection_of(run, PCA, cache_folder=tmp_path / "cache")
    assert torch.equal(made.coordinates, project(run.features(), PCA).coordinates)
    with pytest.raises(UserError, match=r"Nothing can be written to .*cache.*MOCOOP_CACHE"):
        projection_of(run, PCA, cache_folder=tmp_path / "cache", must_save=True)


def test_a_run_on_a_full_disk_has_its_map_in_the_cache(run, tmp_path, monkeypatch):
    write = projection_module.write_tensors

    def full(path, *rest):
        if path.parent == run.path:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        write(path, *rest)

    monkeypatch.setattr(projection_module, "write_tensors", full)
    projection_of(run, PCA, cache_folder=tmp_path / "cache", must_save=True)
    assert len(list((tmp_path / "cache" / "projections").iterdir())) == 1


def test_a_damaged_map_is_made_again(run, tmp_path):
    made = projection_of(run, PCA, cache_folder=tmp_path)
    (path,) = run.path.glob("projection-*.safetensors")
    path.write_bytes(b"half a file")
    again = projection_of(run, PCA, cache_folder=tmp_path)
    assert torch.equal(again.coordinates, made.coordinates)


def test_the_key_names_everything(features):
    key = projection_key(features, PCA, (0, 5))
    soft = {epoch: value.clone() for epoch, value in features.soft.items()}
    soft[5][0, 0, 0] += 1e-6
    others = [
        projection_key(replace(features, soft=soft), PCA, (0, 5)),
        projection_key(replace(features, hard=features.hard[::-1]), PCA, (0, 5)),
        projection_key(features, replace(PCA, dims=3), (0, 5)),
        projection_key(features, replace(PCA, seed=1), (0, 5)),
        projection_key(features, replace(PCA, method="umap"), (0, 5)),
        projection_key(features, PCA, (5,)),
    ]
    assert len({key, *others}) == 7
    assert key == projection_key(features, PCA, (0, 5))


def test_too_many_points_are_sampled_by_class(features):
    small = replace(PCA, max_points=30)  # 15 points per class
    made = project(features, small)
    assert made.sampled
    assert len(made.classes) == 2
    assert made.classes == sample_classes(features, small, (0, 5))
    assert set(made.points.label.tolist()) == set(made.classes)
    assert not project(features, PCA).sampled


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"method": "tsne"}, "Unknown projection 'tsne'"), ({"dims": 4}, "2 or 3 dimensions; got 4")],
)
def test_wrong_settings_are_named(settings, message):
    with pytest.raises(UserError, match=message):
        MapSettings(**settings)


def test_share_outside_span_is_the_residual_of_least_squares(features):
    hard = torch.cat(features.hard)
    hard[3] = hard[0]  # a template that repeats another spans nothing new
    found = share_outside_span(features.soft[5], hard)
    for expert in range(3):
        for label in range(4):
            basis = hard[:, label].double().numpy().T  # (dim, templates)
            target = features.soft[5][expert, label].double().numpy()
            best, *_ = np.linalg.lstsq(basis, target, rcond=1e-6)
            expected = np.sum((target - basis @ best) ** 2) / np.sum(target**2)
            assert float(found[expert, label]) == pytest.approx(expected, abs=1e-5)


def test_what_lies_in_the_span_has_no_share_outside(features):
    hard = torch.cat(features.hard)
    inside = F.normalize(0.3 * hard[0] - 2 * hard[1], dim=-1)[None]
    torch.testing.assert_close(
        share_outside_span(inside, hard), torch.zeros(1, 4), atol=1e-6, rtol=0
    )


def test_drift_equals_a_loop(features):
    table = drift_table(features, labels=[1, 3])
    assert [(row.expert, row.epoch) for row in table] == [(g, e) for e in (0, 5) for g in range(3)]
    for row in table:
        cosines, nearest = [], []
        for label in (1, 3):
            one = features.soft[row.epoch][row.expert, label]
            all_groups = [float(one @ features.prototypes[g, label]) for g in range(3)]
            cosines.append(all_groups[row.expert])
            nearest.append(int(np.argmax(all_groups)) == row.expert)
        assert row.own_cosine == pytest.approx(np.mean(cosines), abs=1e-6)
        assert row.own_nearest == pytest.approx(np.mean(nearest))


def test_words_of_untrained_tokens_are_the_template(tiny_backbone, generator):
    groups = {"photo": ("a photo of a {}.",), "drawing": ("drawing: {}.",)}
    prompts = SoftPrompts(prompt_starts(preset("mocoop"), tiny_backbone.text, groups, generator))
    weights = {f"prompts.{name}": value for name, value in prompts.state_dict().items()}
    found = nearest_words(weights, tiny_backbone.text, count=2)
    assert [words[0].word for words in found[0]] == ["a", "photo", "of", "a"]
    assert [words[0].word for words in found[1]] == ["drawing", ":"]
    assert found[0][0][0].cosine == pytest.approx(1.0, abs=1e-5)
    table = F.normalize(tiny_backbone.text.tokens.embedding.weight, dim=-1)
    for tokens, words in zip(prompts.before, found, strict=True):
        for token, near in zip(tokens, words, strict=True):
            cosines = table @ F.normalize(token.detach(), dim=0)
            best = [float(cosine) for cosine in cosines.sort(descending=True).values[:2]]
            assert [word.cosine for word in near] == pytest.approx(best, abs=1e-6)


@pytest.mark.parametrize("choice", ["base", "new"])
def test_value_of_routing_equals_a_loop(finished_run, workspace, demo_backbone, choice):
    classifier, config = open_classifier(finished_run), finished_run.setup().config
    data, cache = load_dataset(config.data), FeatureCache(demo_backbone)
    value = routing_value(classifier, data, cache, config, choice)
    found = route_items(classifier, data, cache, choice)
    part = classifier.subset(range(16) if choice == "base" else range(16, 32))
    features = cache.features(data, found.items)[:, 0]
    router = uniform = oracle = 0
    alone = np.zeros(len(classifier.experts))
    for row, truth in enumerate(found.labels.tolist()):
        logits = [features[row] @ soft.T for soft in part.soft]  # experts × (classes,)
        right = [int(one.argmax()) == truth for one in logits]
        alone += right
        oracle += any(right)
        uniform += int(sum(logits).argmax()) == truth
        router += int(found.routed.probabilities[row].argmax()) == truth
    total = len(found.items)
    assert value.router == pytest.approx(100 * router / total, abs=1e-3)
    assert value.uniform == pytest.approx(100 * uniform / total, abs=1e-3)
    assert value.random == pytest.approx(100 * alone.mean() / total, abs=1e-3)
    assert value.oracle == pytest.approx(100 * oracle / total, abs=1e-3)
    best = classifier.experts.index(value.best_expert)
    assert value.best_single == pytest.approx(100 * alone[best] / total, abs=1e-3)
    assert value.gain == pytest.approx(
        value.router - max(value.uniform, value.best_single), abs=1e-3
    )
    assert value.chosen_on == "validation"


def test_the_best_expert_is_never_chosen_on_test_images(finished_run):
    config = finished_run.setup().config
    data = load_dataset(config.data)
    items, chosen_on = selection_items(config, data)
    test = {item.id for item in data.items("test")}
    assert chosen_on == "validation"
    assert not test & {item.id for item in items}
    assert {item.label for item in items} == set(range(16))
    without = replace(data, splits=data.splits | {"val": ()})
    items, chosen_on = selection_items(config, without)
    assert chosen_on == "training"
    assert not test & {item.id for item in items}


def test_a_choice_on_validation_images_that_are_test_images_is_called_so(finished_run):
    config = finished_run.setup().config
    data = load_dataset(config.data)
    shared = replace(data, splits=data.splits | {"val": data.items("test")})
    assert selection_items(config, shared)[1] == "test"
