"""The progress of a training: its bar is full only when all is done."""

from __future__ import annotations

from dataclasses import replace

from app.train.progress import BEFORE_THE_END, progress_of
from mocoop.presets import preset
from mocoop.runs.status import QUEUED, RUNNING, Status


def test_the_bar_is_not_full_while_the_test_images_are_encoded():
    status = Status(RUNNING, epoch=30, epochs=30, message="encoding test images")
    share, text = progress_of(status, [], preset("coop"))
    assert share == BEFORE_THE_END < 1
    assert text == "Epoch 30 of 30: encoding test images …"


def test_a_queued_run_is_starting():
    share, text = progress_of(Status(QUEUED), [], None)
    assert share == 0.0
    assert text.startswith("Starting")


def test_a_method_without_epochs_tells_its_message():
    status = Status(RUNNING, message="fitting")
    assert progress_of(status, [], preset("zero-shot")) == (0.0, "Fitting …")
    assert progress_of(replace(status, epochs=4, epoch=1), [], None)[0] == 0.25
