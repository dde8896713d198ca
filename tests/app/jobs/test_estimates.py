"""How long a training takes: the known proportions, and what earlier runs teach."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from app.jobs.clip_work import DEMO_DIM, DEMO_PATCHES, DEMO_TEXT, DEMO_VISION, clip_work
from app.jobs.estimates import (
    ENCODE_SECONDS,
    START_SECONDS,
    Size,
    estimate_seconds,
    seconds_left,
)
from mocoop.assets import asset
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.runs.status import QUEUED, RUNNING, Status
from tests.support.app_fixtures import train

ALBUMS = Size(classes=32, names=32, experts=1, images=512, val_images=128, test_images=576)
ENCODING = ENCODE_SECONDS * (512 + 128 + 576)


def seconds(method: str, **changes) -> float:
    size = replace(ALBUMS, experts=6 if method.startswith("mocoop") else 1)
    found = estimate_seconds(replace(preset(method), **changes), size)
    assert found is not None
    return found - START_SECONDS - (ENCODING if preset(method).image_cache else 0)


@pytest.mark.parametrize(
    ("method", "measured"),
    [
        ("coop", 0.5), ("mocoop", 4), ("lasp-ln", 75), ("mocoop-ln", 75), ("cocoop", 29),
        ("linear-probe", 4), ("tip-adapter", 0.5), ("tip-adapter-f", 0.5), ("zero-shot", 0),
    ],
)  # fmt: skip
def test_demo_clip_takes_about_as_long_as_measured_on_a_core(method, measured):
    assert measured / 1.3 - 1 <= seconds(method) <= 1.3 * measured + 1


@pytest.mark.parametrize("method", METHODS)
def test_every_method_has_an_estimate_also_for_a_clip_never_trained(method):
    assert seconds(method) >= 0
    sizes = [
        estimate_seconds(replace(preset(method, name), device="cpu"), ALBUMS)
        for name in ("ViT-B-32-quickgelu/openai", "ViT-B-16-quickgelu/openai", "ViT-L-14/openai")
    ]
    assert START_SECONDS < sizes[0] < sizes[1] < sizes[2]
    assert estimate_seconds(preset(method, "RN50/weights.pt"), ALBUMS) is None
    assert estimate_seconds(preset(method, "hf-hub:someone/something"), ALBUMS) is None


def test_towers_are_measured_by_the_demo_clip():
    """12 layers of width 512 for 3 of 128; 12 of width 768 and 50 tokens for 6 of 160 and 65."""
    work = clip_work("ViT-B-32/weights.safetensors")
    assert work.text == 64
    assert work.image == pytest.approx(12 * 768**2 * 50 / (6 * 160**2 * 65))
    assert work.feature == 4
    config = json.loads(asset("demo-clip/open_clip_config.json").read_text())["model_cfg"]
    text, vision = config["text_cfg"], config["vision_cfg"]
    assert (text["layers"], text["width"]) == DEMO_TEXT
    assert (vision["layers"], vision["width"]) == DEMO_VISION
    assert (vision["image_size"] // vision["patch_size"]) ** 2 + 1 == DEMO_PATCHES
    assert config["embed_dim"] == DEMO_DIM


@pytest.mark.parametrize("file", ["metrics.jsonl", "results.json"])
def test_a_damaged_run_does_not_count(one_run, file):
    """Its neighbours can still be trained, and their time is known."""
    (one_run.path / file).write_text("{bad\n")
    assert (estimate_seconds(preset("mocoop"), ALBUMS, [one_run]) or 0) > START_SECONDS


@pytest.mark.parametrize("text", ["{", "{}", None])
def test_a_damaged_fit_does_not_count(empty_runs, text):
    fitted = train("linear-probe", empty_runs / "fitted", shots=1)
    (fitted.path / "results.json").unlink()
    if text is not None:
        (fitted.path / "results.json").write_text(text)
    size = replace(ALBUMS, images=1)
    damaged = estimate_seconds(preset("linear-probe"), size, [fitted])
    assert damaged == estimate_seconds(preset("linear-probe"), size)


def test_images_are_encoded_once(one_run, empty_runs):
    """A run on the same set has left their features; live images are encoded in every epoch."""
    config = replace(preset("zero-shot"), data="details")
    assert estimate_seconds(config, ALBUMS) == pytest.approx(START_SECONDS + ENCODING)
    assert estimate_seconds(config, ALBUMS, [one_run]) == START_SECONDS
    elsewhere = replace(config, data="faces")
    assert estimate_seconds(elsewhere, ALBUMS, [one_run]) > START_SECONDS
    live = replace(config, image_cache=False)
    assert estimate_seconds(live, ALBUMS) == START_SECONDS


def test_more_of_anything_takes_longer():
    assert seconds("prograd") > seconds("coop")
    assert seconds("coop", epochs=60) > seconds("coop")
    half = replace(ALBUMS, classes=16, images=256, val_images=64)
    seen, every = (estimate_seconds(preset(name), half) for name in ("lasp", "lasp-v"))
    assert every > seen


def test_steps_per_shot_set_the_work_whatever_the_number_of_classes_is():
    """With 500 steps per shot, epochs are only parts of the same training."""
    few, many = (seconds("clip-lora", steps_per_shot=500, epochs=epochs) for epochs in (10, 20))
    assert few == pytest.approx(many, rel=0.05)
    assert seconds("clip-lora", steps_per_shot=1000, epochs=10) > 1.9 * few


def test_estimate_follows_earlier_runs(one_run):
    config = replace(one_run.setup().config, epochs=2)
    size = Size(classes=16, names=32, experts=8, images=32, val_images=32, test_images=576)
    short = estimate_seconds(config, size, [one_run])
    long = estimate_seconds(replace(config, epochs=20), size, [one_run])
    assert long - START_SECONDS == pytest.approx(10 * (short - START_SECONDS))
    epochs = sorted(record["seconds"] for record in one_run.records()[1:])
    assert short - START_SECONDS == pytest.approx(2 * epochs[1])  # twice the median of 3
    elsewhere = replace(config, backbone="ViT-B-32-quickgelu/openai")
    assert estimate_seconds(elsewhere, size, [one_run]) == estimate_seconds(elsewhere, size)
    assert estimate_seconds(replace(config, precision="bf16"), size, [one_run]) is None


def test_tiny_runs_teach_nothing_of_a_large_one(one_run):
    """A run of a few texts a step is overhead above all: what is known of the demo CLIP counts."""
    large = replace(ALBUMS, experts=6)
    assert estimate_seconds(preset("mocoop"), large, [one_run]) == estimate_seconds(
        preset("mocoop"), large
    )


def test_fits_follow_earlier_fits_of_the_same_method(empty_runs):
    run = train("linear-probe", empty_runs / "probe", shots=2)
    size = replace(ALBUMS, images=100)
    config = replace(preset("linear-probe"), data="details")
    found = estimate_seconds(config, size, [run])
    spent = run.results()["training_seconds"]
    assert found - START_SECONDS == pytest.approx(spent * 100 / 64)  # 32 classes, 2 shots
    assert estimate_seconds(preset("tip-adapter"), size, [run]) == estimate_seconds(
        preset("tip-adapter"), size
    )


def test_slow_live_images_do_not_slow_the_estimate_of_cached_ones(one_run, empty_runs):
    live = train("mocoop-ln", empty_runs / "live", shots=1, epochs=1)
    size = Size(32, 32, 8, 64, 32, 576)
    cached = estimate_seconds(preset("mocoop"), size, [one_run])
    assert estimate_seconds(preset("mocoop"), size, [live, one_run]) == cached
    assert estimate_seconds(preset("mocoop-ln"), size, [live, one_run]) == estimate_seconds(
        preset("mocoop-ln"), size, [live]
    )


def test_seconds_left_counts_the_epochs_to_come():
    records = [{"epoch": epoch, "seconds": 2.0 * epoch} for epoch in range(4)]
    assert seconds_left(Status(RUNNING, epoch=3, epochs=10), records) == 4.0 * 7
    assert seconds_left(Status(RUNNING, epoch=0, epochs=10), records[:1]) is None
    assert seconds_left(Status(QUEUED), records) is None
