"""The number format that a machine is fast in, and what becomes of `auto`."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from app.jobs.estimates import Size, estimate_seconds
from mocoop.clip.device import DTYPES, choose_precision, processor_flags
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.presets import differences, preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from mocoop.training.prepare import prepare
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CPU, GPU = torch.device("cpu"), torch.device("cuda")


def pretend(monkeypatch, *flags):
    """Lets the processor have some abilities."""
    monkeypatch.setattr("mocoop.clip.device.processor_flags", lambda: frozenset(flags))


@pytest.fixture
def config(tmp_path):
    """Settings of a CLIP that is not the demo's, on a few pictures."""
    folder = picture_folder(tmp_path / "pictures")
    clip = tiny_checkpoint(tmp_path / "clip")
    return replace(preset("mocoop", clip), data=str(folder), shots=1, epochs=1)


def test_what_is_asked_for_is_kept(monkeypatch):
    pretend(monkeypatch, "amx_bf16")
    for precision in DTYPES:
        assert choose_precision(precision, CPU) == precision


def test_processors(monkeypatch):
    pretend(monkeypatch, "avx512f", "amx_tile", "amx_bf16")
    assert choose_precision("auto", CPU) == "bf16"
    pretend(monkeypatch, "avx512f", "avx512_bf16")
    assert choose_precision("auto", CPU) == "fp32"


@pytest.mark.parametrize(("own", "expected"), [(True, "bf16"), (False, "fp16")])
def test_gpus(monkeypatch, own, expected):
    monkeypatch.setattr("torch.cuda.is_bf16_supported", lambda including_emulation: own)
    assert choose_precision("auto", GPU) == expected


@pytest.mark.parametrize("method", METHODS)
def test_real_clips_take_what_is_fast_and_the_demo_stays_exact(method):
    assert preset(method, "ViT-B-16-quickgelu/openai").precision == "auto"
    assert preset(method).precision == "fp32"


def test_a_run_notes_what_was_taken_and_is_found_by_it(monkeypatch, config, workspace, tmp_path):
    """The saved settings hold the format itself, so that another machine reads the run alike."""
    pretend(monkeypatch, "amx_bf16")
    prepared = prepare(config)
    assert prepared.config.precision == "bf16"
    model = build_model(config, prepared.backbone, prepared.groups, torch.Generator())
    assert model.precision == torch.bfloat16
    for _ in run_experiment(config, tmp_path / "run"):
        pass
    run = Run(tmp_path / "run")
    saved = run.setup().config
    assert saved.precision == "bf16"
    assert "precision" not in differences(saved)
    assert run.results()["all"]["num_images"] > 0
    size = Size(3, 3, len(run.setup().experts), images=3, val_images=0, test_images=3)
    asked = replace(saved, precision="auto")
    assert estimate_seconds(asked, size, [run]) is not None
    pretend(monkeypatch)
    assert estimate_seconds(asked, size, [run]) is None  # of fp32 nothing is known here


def test_flags_are_words():
    assert all(" " not in flag for flag in processor_flags())
