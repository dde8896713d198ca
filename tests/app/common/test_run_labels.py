"""What a choice of runs shows: settings, and more where several look alike."""

from __future__ import annotations

from dataclasses import replace

from app.common.run_labels import LabelledRun, run_labels
from mocoop.presets import preset

CONFIG = replace(preset("mocoop"), data="details", shots=16, seed=1)
TITLE = "details · MoCoOp · 16 images per class · seed 1"
NAME = "details-mocoop-16shot-seed1-001"


def test_settings_alone_tell_a_run_from_others():
    other = replace(CONFIG, seed=2)
    labels = run_labels([LabelledRun(NAME, CONFIG, 0), LabelledRun("details-mocoop-x", other, 0)])
    assert labels == {NAME: TITLE, "details-mocoop-x": TITLE.replace("seed 1", "seed 2")}


def test_runs_that_look_alike_are_told_apart_by_name_and_time():
    second = NAME.replace("001", "002")
    labels = run_labels([LabelledRun(NAME, CONFIG, 0), LabelledRun(second, CONFIG, 86_400)])
    assert labels[NAME].startswith(f"{TITLE} · 19")  # 1969 west of Greenwich
    assert labels[NAME].endswith(f":00 · {NAME}")
    assert labels[second].endswith(f":00 · {second}")


def test_runs_that_look_alike_are_told_apart_by_their_other_settings():
    longer = replace(CONFIG, epochs=60)
    second = NAME.replace("001", "002")
    labels = run_labels([LabelledRun(NAME, CONFIG, 0), LabelledRun(second, longer, 0)])
    assert labels == {NAME: TITLE, second: f"{TITLE} · epochs 60"}


def test_a_name_that_was_given_and_another_clip_are_said():
    clip = replace(preset("mocoop", "ViT-B-32/weights"), data="/data/my pets", shots=1, seed=3)
    labels = run_labels(
        [LabelledRun("from afar", CONFIG, 0), LabelledRun("my pets-mocoop-1", clip, 0)]
    )
    assert labels["from afar"] == f"{TITLE} · from afar"
    assert (
        labels["my pets-mocoop-1"]
        == "my pets · MoCoOp · 1 image per class · seed 3 · ViT-B-32/weights"
    )


def test_a_damaged_run_is_called_by_its_folder():
    assert run_labels([LabelledRun("broken", None, 0)]) == {"broken": "broken"}
    both = run_labels([LabelledRun("a", None, 0), LabelledRun("b", None, 0)])
    assert both == {"a": "a", "b": "b"}
