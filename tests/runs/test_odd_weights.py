"""A run whose tensors do not fit its settings is neither imported nor opened."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
import torch

from mocoop.assets import asset
from mocoop.classifiers.prompts import learned_state
from mocoop.classifiers.saved import open_classifier
from mocoop.errors import UserError
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset
from mocoop.runs.export_zip import archive_bytes
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run
from mocoop.runs.weights import check_weights
from mocoop.storage.atomic import read_tensors, write_tensors
from mocoop.training.length_search import SearchResult
from tests.runs.test_formats import OLD
from tests.runs.test_zips import entries, resigned, zipped

NAN = float("nan")
HARMS = {
    "router of another size": ("gate.weight", lambda v: v[:, :5], "has shape"),
    "router for fewer experts": ("gate.bias", lambda v: v[:-1], r"gate\.bias has shape"),
    "router without numbers": ("gate.weight", lambda v: v * NAN, "not finite"),
    "half precision": ("gate.weight", lambda v: v.half(), "type float16; expected float32"),
    "far too large": ("correction", lambda v: v + 1e30, "above 1e"),
    "prompt of another width": ("prompts.before.1", lambda v: v[:, :7], "shape"),
    "missing": ("prompts.before.0", None, r"prompts\.before\.0 is missing"),
    "unknown": ("prompts.before.99", lambda _: torch.ones(4, 128), "does not belong to mocoop"),
}
FEATURES = {
    "hard": ("hard/0", lambda v: v[:, :3], "hard/0 has shape"),
    "router of an epoch": ("gate/0/bias", lambda v: v * NAN, "not finite"),
    "odd name": ("soft/x", lambda _: torch.ones(2), "unknown name"),
    "prototypes": ("prototypes", lambda v: v[:1], "prototypes has shape"),
}


@pytest.fixture
def run(tmp_path):
    """A finished mixture."""
    shutil.copytree(asset("runs") / "albums-mocoop-16shot", tmp_path / "odd")
    return Run(tmp_path / "odd")


@pytest.mark.parametrize(
    ("file", "harms"),
    [("weights.safetensors", HARMS), ("features.safetensors", FEATURES)],
    ids=["weights", "features"],
)
def test_tensors_that_do_not_fit_are_refused(run, tmp_path, file, harms):
    whole, sound = archive_bytes(run), read_tensors(run.path / file)
    for name, change, words in harms.values():
        changed = dict(sound)
        if change is None:
            del changed[name]
        else:
            changed[name] = change(sound.get(name))
        write_tensors(run.path / file, changed)
        with pytest.raises(UserError, match=words):
            open_classifier(run)
        packed = entries(whole)
        packed = {f"details-tiny/{key.partition('/')[2]}": data for key, data in packed.items()}
        source = zipped(resigned(packed, file, (run.path / file).read_bytes()))
        with pytest.raises(UserError, match=words):
            read_archive(source, tmp_path / "runs")
        assert not (tmp_path / "runs").exists() or list((tmp_path / "runs").iterdir()) == []


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"logit_scale": Infinity}', "cannot be read"),
        ('{"logit_scale": 1e300}', "at .logit_scale"),
        ('{"logit_scale": %s}' % ("9" * 400), "at .logit_scale"),
        ('{"trained_classes": %s}' % ("9" * 400), "at .trained_classes"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"config": {"data": "a\\u0000b"}}', "without NUL"),
        ('{"config": {"data": "%s"}}' % ("x" * 5000), "at most 4,096 characters"),
    ],
)
def test_odd_json_is_refused_in_words(run, tmp_path, config, words):
    packed = entries(archive_bytes(run))
    packed = {f"details-tiny/{key.partition('/')[2]}": data for key, data in packed.items()}
    if config.endswith("}"):
        before = json.loads(packed["details-tiny/config.json"])
        key = config.split('"')[1]
        if key == "config":
            inner = json.loads(config)["config"]
            content = json.dumps(before | {"config": before["config"] | inner})
        else:
            before.pop(key)
            content = json.dumps(before)[:-1] + "," + config[1:]
    else:
        content = config
    with pytest.raises(UserError, match=words):
        read_archive(zipped(resigned(packed, "config.json", content.encode())), tmp_path / "runs")


def test_a_list_of_brackets_is_refused(run, tmp_path):
    packed = entries(archive_bytes(run))
    for content in (b"[" * 100_000, b'{"format": 1, "run_format": 1, "name": NaN}'):
        changed = {
            name: content if name.endswith("archive.json") else data
            for name, data in packed.items()
        }
        with pytest.raises(UserError, match=r"archive\.json cannot be read"):
            read_archive(zipped(changed), tmp_path / "runs")


def test_the_weights_of_every_method_fit(run, demo_backbone):
    """What a model of each method would save is accepted for its own settings."""
    setup = run.setup()
    presets = [preset(name) for name, method in METHODS.items() if method.learns_prompts]
    late = replace(preset("mocoop-v"), expert_vision_depth=1)
    for own in (*presets, late, replace(late, vision_insertion="keys", vision_lengths=(2, 0, 1))):
        config = replace(own, num_chosen=1, classes="all")
        groups = dict(list(setup.groups.items())[: 2 if METHODS[own.method].is_mixture else 1])
        build = lambda of, groups=groups: build_model(
            of, demo_backbone, groups, torch.Generator().manual_seed(0), setup.trained_classes
        )
        model = build(config)
        if config.searches_lengths:  # a finished run has the tokens that were chosen
            model = build(SearchResult.from_model(model).settings(config))
        saved = replace(setup, config=config, groups=groups)
        check_weights(saved, learned_state(model))


def saved_model(setup, clip, own):
    """Returns the setup of a run with some settings, and the weights that it would save."""
    config = replace(own, num_chosen=1, classes="all")
    groups = dict(list(setup.groups.items())[: 2 if METHODS[own.method].is_mixture else 1])
    generator = torch.Generator().manual_seed(0)
    model = build_model(config, clip, groups, generator, setup.trained_classes)
    return replace(setup, config=config, groups=groups), learned_state(model)


KEYS = {"text_insertion": "keys", "vision_insertion": "keys", "text_depth": 2, "vision_depth": 2}
OF_SETTINGS = {
    "ivlp": preset("ivlp"),
    "maple": preset("maple"),
    "lengths": replace(preset("ivlp"), vision_lengths=(2, 1), text_lengths=(1, 2), **KEYS),
    "lora": preset("clip-lora"),
    "one network": preset("cocoop"),
    "network per expert": replace(preset("mocoop-cond"), shift_per_expert=True),
    "late": replace(preset("mocoop-v"), expert_vision_depth=1),
    "norms": preset("lasp-ln"),
    "random": replace(preset("coop"), context_init="random", name_position="middle"),
}
NAMED = {
    "prompts.deep": "text_depth is",
    "prompts.keys": "text_lengths is 1, 2",
    "prompts": "context_init is",
    "vision.late": "expert_vision_depth is",
    "vision.coupling": "coupling is on",
    "vision": "vision_depth is",
    "lora": "lora_rank is",
    "shift": "conditional is on",
    "norms": "tune_layer_norms is on",
    "gate": "there are 2 experts",
    "correction": "correction is on",
}


@pytest.mark.parametrize("own", OF_SETTINGS.values(), ids=OF_SETTINGS)
def test_every_learned_part_must_be_there(run, demo_backbone, own):
    """Without any one of the tensors a run is refused, with the setting that asks for it."""
    setup, weights = saved_model(run.setup(), demo_backbone, own)
    check_weights(setup, weights)
    for name in weights:
        words = next(words for start, words in NAMED.items() if name.startswith(start))
        fewer = {key: value for key, value in weights.items() if key != name}
        if name.startswith("norms.") and "/resblocks/5/" in name:
            continue  # the last block: only the CLIP tells how many there are
        with pytest.raises(UserError, match="is missing") as told:
            check_weights(setup, fewer)
        assert name in str(told.value)
        assert words in str(told.value)


MISFITS = [
    (
        "ivlp",
        {"text_depth": 2},
        r"deep\.0 has shape .*; expected \[1, 5, 128\], as text_depth is 2",
    ),
    ("ivlp", {"text_depth": 1}, r"deep\.0' does not belong to ivlp: text_depth is 1"),
    ("ivlp", {"vision_depth": 4}, r"vision\.values has .*\[4, 4, 160\], as vision_depth is 4"),
    ("ivlp", {"vision_depth": 0}, r"vision\.values' does not belong to ivlp: vision_depth is 0"),
    ("ivlp", {"learned_tokens": 3}, r"before\.0 .* \[3, 128\], .* and learned_tokens is 3"),
    ("maple", {"coupling": False}, r"vision\.values is missing, but .*coupling is off"),
    ("lengths", {"vision_lengths": (2, 2)}, r"vision\.values\.1 has .*vision_lengths is 2, 2"),
    ("lora", {"lora_rank": 3}, r"lora\.image_down has shape .*, as lora_rank is 3"),
    ("network per expert", {"shift_per_expert": False}, r"is missing.*shift_per_expert is off"),
    ("late", {"expert_vision_depth": 2}, r"vision\.late has shape .*expert_vision_depth is 2"),
    ("random", {"context_tokens": 9}, r"before\.0 .*\[4, 128\], .*context_tokens is 9"),
]


@pytest.mark.parametrize(("own", "changes", "words"), MISFITS)
def test_weights_of_other_settings_are_told_by_the_setting(
    run, demo_backbone, own, changes, words
):
    setup, weights = saved_model(run.setup(), demo_backbone, OF_SETTINGS[own])
    other = replace(setup, config=replace(setup.config, **changes))
    with pytest.raises(UserError, match=words):
        check_weights(other, weights)


@pytest.mark.parametrize("name", ["prompts.deep.0", "vision.values"])
def test_a_run_without_the_tokens_of_its_blocks_does_not_open(tmp_path, name):
    shutil.copytree(OLD / "towers-ivlp", tmp_path / "towers")
    path = tmp_path / "towers" / "weights.safetensors"
    weights = read_tensors(path)
    assert open_classifier(Run(tmp_path / "towers")).experts
    write_tensors(path, {key: value for key, value in weights.items() if key != name})
    with pytest.raises(UserError, match=f"{name} is missing, but .*_depth is 3"):
        open_classifier(Run(tmp_path / "towers"))


@pytest.mark.parametrize(
    ("own", "change", "words"),
    [
        ("norms", lambda w: {k: v for k, v in w.items() if "/5/" not in k}, "tune_layer_norms"),
        (
            "norms",
            lambda w: w | {k.replace("/5/", "/6/"): v for k, v in w.items() if "/5/" in k},
            "which this CLIP has not .tune_layer_norms",
        ),
        ("lora", lambda w: {k: v[:-1] for k, v in w.items()}, "lora_rank 2.* for 5 blocks"),
    ],
)
def test_updates_of_other_blocks_than_the_clip_has(run, demo_backbone, own, change, words):
    """The file itself does not tell how many blocks the CLIP has."""
    setup, weights = saved_model(run.setup(), demo_backbone, OF_SETTINGS[own])
    part = {name: value for name, value in weights.items() if name.startswith(("norms", "lora"))}
    other = {n: v for n, v in weights.items() if n not in part} | change(part)
    check_weights(setup, other)
    tuned_backbone(demo_backbone, setup.config, weights)
    with pytest.raises(UserError, match=words):
        tuned_backbone(demo_backbone, setup.config, other)
