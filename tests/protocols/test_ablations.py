"""Ablations: every variant changes what its name says and nothing else."""

from __future__ import annotations

from dataclasses import fields, replace

import pytest
from PIL import Image

from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.ablations import NAMES, VARIANTS, ablation_tasks

GROUPS = load_dataset("digits").templates.groups


def changed(name, method="mocoop"):
    """Returns which settings of a method a variant changes, with their new values."""
    full = replace(preset(method), data="digits", seed=3)
    variant = next(variant for variant in VARIANTS if variant.name == name)
    now = variant.change(full, GROUPS)
    pairs = ((f.name, getattr(now, f.name), getattr(full, f.name)) for f in fields(full))
    return {field: new for field, new, old in pairs if new != old}


@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("full", {}),
        ("no-gate-loss", {"gate_weight": 0.0}),
        ("no-text-loss", {"text_weight": 0.0}),
        ("k-1", {"num_chosen": 1}),
        ("k-all", {"num_chosen": len(GROUPS)}),
        ("tau-one", {"text_scale": "one"}),
        ("tau-logit", {}),
        ("all-names", {"text_classes": "all"}),
        ("gate-scaled", {"gate_target": "scaled"}),
        ("gate-soft", {"gate_target": "soft"}),
        ("no-correction", {"correction": False}),
    ],
)
def test_a_variant_changes_one_setting(name, changes):
    assert changed(name) == changes


@pytest.mark.parametrize(
    ("method", "name", "changes"),
    [
        ("mocoop-v", "no-vision", {"vision_depth": 0}),
        ("mocoop-v", "vision-block-1", {"vision_depth": 1}),
        ("mocoop-v", "vision-deeper", {"vision_depth": 6}),
        ("mocoop-v", "vision-tokens-1", {"vision_prompts": 1}),
        ("mocoop-v", "vision-keys", {"vision_insertion": "keys"}),
        ("mocoop-v", "router-tuned", {"router_input": "tuned"}),
        (
            "mocoop-v",
            "averaged",
            {"aggregation": "gaussian", "aggregation_mean": 7.5, "aggregation_std": 0.5},
        ),
        ("mocoop-src", "no-consistency", {"image_consistency": 0.0, "logit_consistency": 0.0}),
        ("mocoop-cond", "no-shift", {"conditional": False}),
        ("mocoop-cond", "own-shift", {"shift_per_expert": True}),
        ("mocoop-cond", "deeper-texts", {"text_depth": 2}),
        ("mocoop-cond", "late-shift", {"text_depth": 2, "condition_from": 1}),
    ],
)
def test_variants_of_newer_parts_belong_to_methods_that_have_them(method, name, changes):
    assert changed(name, method) == changes
    labels = [task.label for task in ablation_tasks(("digits",), (name,), method, seeds=(1,))]
    variant = next(variant for variant in VARIANTS if variant.name == name)
    assert labels == [f"{method}, full (K = 2)"] * 2 + [f"{method}, {variant.label}"] * 2
    assert not variant.fits(preset("mocoop"))


def test_one_group_holds_every_template():
    changes = changed("one-group")
    every = tuple(template for templates in GROUPS.values() for template in templates)
    assert changes == {"groups": {"all": every}, "num_chosen": 1}


def test_random_groups_are_a_seeded_shuffle_of_the_same_sizes():
    first, again = changed("random-groups"), changed("random-groups")
    assert first == again
    drawn = list(first["groups"].values())
    assert [len(part) for part in drawn] == [len(part) for part in GROUPS.values()]
    flat = [template for part in drawn for template in part]
    assert sorted(flat) == sorted(t for part in GROUPS.values() for t in part)
    assert flat != [t for part in GROUPS.values() for t in part]


def test_fewer_experts_are_the_first_groups():
    assert list(changed("experts-3")["groups"].items()) == list(GROUPS.items())[:3]
    small = dict(list(GROUPS.items())[:2])
    variant = next(variant for variant in VARIANTS if variant.name == "experts-3")
    with pytest.raises(UserError, match="needs 3 groups of templates; the data set has 2"):
        variant.change(preset("mocoop"), small)


def test_every_variant_runs_few_shot_and_base_to_new():
    found = ablation_tasks(("digits", "details"), seeds=(1, 2))
    fitting = [variant for variant in VARIANTS if variant.fits(preset("mocoop"))]
    assert len(found) == 2 * len(fitting) * 2 * 2
    assert found[0].label == "full (K = 2)"
    assert [task.config.classes for task in found[:2]] == ["all", "base"]
    assert len({variant.label for variant in VARIANTS}) == len(set(NAMES)) == len(VARIANTS)
    few = ablation_tasks(("digits",), ("k-1",), seeds=(1,))
    assert [task.label for task in few] == ["full (K = 2)"] * 2 + ["K = 1"] * 2


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"variants": ("k1",)}, "Unknown variant 'k1'.*Did you mean 'k-1'"),
        (
            {"method": "coop"},
            r"needs a mixture: expected one of mocoop, mocoop-all, .*; got 'coop'",
        ),
        ({"variants": ("vision-keys",)}, "changes a part that mocoop does not have"),
        ({"shots": 999}, "Would run: --shots 36"),
    ],
)
def test_unfit_questions_are_refused(changes, message):
    with pytest.raises(UserError, match=message):
        ablation_tasks(("digits",), **changes)


def test_variants_that_need_more_groups_are_left_out_unless_they_are_named(tmp_path):
    for split in ("train", "test"):
        for name in ("cat", "dog", "owl", "emu"):
            file = tmp_path / "pets" / split / name / "0.png"
            file.parent.mkdir(parents=True)
            Image.new("RGB", (8, 8)).save(file)
    groups = "groups:\n  a: ['a {}.']\n  b: ['the {}.', 'my {}.']\n"
    (tmp_path / "pets" / "mocoop.yaml").write_text(groups)
    data = (str(tmp_path / "pets"), "digits")
    found = {(task.config.data, task.label) for task in ablation_tasks(data, shots=1, seeds=(1,))}
    label = "first 3 experts"
    assert {where for where, variant in found if variant == label} == {"digits"}
    assert (data[0], "K = 1") in found
    with pytest.raises(UserError, match="experts-3 needs 3 groups of templates; the data set has"):
        ablation_tasks(data, ("experts-3",), shots=1, seeds=(1,))
