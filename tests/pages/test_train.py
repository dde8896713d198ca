"""Train: the form's settings, its mistakes in words, and the panel beside it."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace

import pytest
from PIL import Image

from app.common import state, words
from app.jobs import trainings
from app.ui import data_picker
from mocoop.config import TrainConfig
from mocoop.datasets import load_dataset
from mocoop.datasets.base import SPLITS
from mocoop.datasets.edits import Edits, write_edits
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.runs.writer import queue_run
from tests.support.page_fixtures import open_page, tiny_config

PAGE = "pages/train.py"


@pytest.fixture
def started(empty_runs, monkeypatch) -> list[TrainConfig]:
    """Collects what the page starts, and starts nothing."""
    asked: list[TrainConfig] = []
    monkeypatch.setattr(trainings, "start_run", asked.append)
    return asked


def field(app, kind: str, label: str):
    """Returns the widget of a kind with a label."""
    return next(widget for widget in app.get(kind) if widget.label == label)


def captions(app) -> str:
    return "\n".join(caption.value for caption in app.caption)


def start(app):
    return app.button(key="start").click().run()


def test_empty_page_trains_the_defaults(started):
    app = open_page(PAGE)
    assert not app.exception
    assert "No training yet" in "".join(text.value for text in app.header)
    assert "32 classes, 6 experts" in captions(app)
    start(app)
    assert started == [preset("mocoop")]


def test_settings_reach_the_run(started):
    app = open_page(PAGE)
    app.selectbox(key=state.DATA).set_value("details").run()
    app.selectbox(key=state.METHOD).set_value("coop").run()
    assert "32 classes, 1 prompt" in captions(app)
    field(app, "number_input", "Seed").set_value(7).run()
    field(app, "number_input", "Epochs").set_value(3).run()
    field(app, "number_input", "Learning rate").set_value(0.01).run()
    assert not app.exception
    start(app)
    assert started == [
        replace(preset("coop"), data="details", seed=7, epochs=3, learning_rate=0.01)
    ]


def test_too_many_experts_is_told_next_to_the_form(started):
    app = open_page(PAGE)
    field(app, "number_input", "Experts per image").set_value(99).run()
    assert not app.exception
    assert "only 6 experts" in app.error[0].value
    assert not [button for button in app.button if button.key == "start"]


@pytest.mark.parametrize(
    ("folder", "message"), [("nowhere", "no such folder"), ("empty", "has no class folder")]
)
def test_bad_folder_is_told_in_words(started, tmp_path, folder, message):
    (tmp_path / "empty").mkdir()
    app = open_page(PAGE, data=str(tmp_path / folder))
    assert not app.exception
    assert message in app.error[0].value


def test_broken_table_is_told_in_words_and_reset_mends_it(started):
    app = open_page(PAGE)
    rows = [{words.GROUP: "photo", words.TEMPLATES: "a photo without a slot"}]
    app.session_state[f"{state.TEMPLATES_EDITED} albums"] = rows
    app.session_state[f"{state.TEMPLATES_RESETS} albums"] = 1  # a table that is made anew
    app.run()
    assert not app.exception
    assert "exactly once" in app.error[0].value
    field(app, "button", "Reset the table").click().run()
    assert not app.error
    start(app)
    assert started[0].groups is None


def test_own_groups_reach_the_run(started):
    app = open_page(PAGE)
    own = {"photo": ("a photo of a {}.",), "art": ("art of a {}.", "a drawing of a {}.")}
    app.session_state[f"{state.TEMPLATES_EDITED} albums"] = words.groups_to_rows(own)
    app.session_state[f"{state.TEMPLATES_RESETS} albums"] = 1
    start(app.run())
    assert started[0].groups == own


def test_finished_run_shows_result_and_curves(one_run):
    app = open_page(PAGE)
    assert not app.exception
    assert [metric.label for metric in app.metric][:3] == [
        "Base classes", "New classes", "Harmonic mean",
    ]  # fmt: skip
    assert len(app.get("plotly_chart")) == 4
    assert field(app, "button", "See the routing")


def test_run_that_failed_says_why_and_can_be_repeated(started, empty_runs):
    run = queue_run(empty_runs / "broken")
    (run.path / trainings.REQUEST).write_text(json.dumps(tiny_config().to_dict()))
    (run.path / trainings.LOG).write_text("mocoop: the disk is full\n")
    status = json.loads((run.path / "status.json").read_text())
    failed = status | {"state": "failed", "message": "the disk is full"}
    (run.path / "status.json").write_text(json.dumps(failed))
    app = open_page(PAGE)
    assert not app.exception
    assert "the disk is full" in app.warning[0].value
    assert "mocoop: the disk is full" in app.code[0].value
    field(app, "button", "Train it again").click().run()
    assert started == [tiny_config()]


def test_waiting_runs_can_be_removed(started, empty_runs, monkeypatch):
    cancelled: list[Run] = []
    monkeypatch.setattr(trainings, "cancel_run", cancelled.append)
    first, second = queue_run(empty_runs / "first"), queue_run(empty_runs / "second")
    app = open_page(PAGE)
    assert not app.exception
    assert field(app, "button", "Add to the queue")
    assert field(app, "button", "Cancel").key == f"cancel {first.name}"
    field(app, "button", "Remove").click().run()
    assert cancelled == [second]


def test_the_line_below_the_button_says_that_the_training_ended(started, empty_runs):
    run = queue_run(empty_runs / "mine")
    app = open_page(PAGE)
    assert "Details: tab *Progress*" in captions(app)
    assert "Cancelled. Details" not in captions(app)
    status = json.loads((run.path / "status.json").read_text())
    (run.path / "status.json").write_text(json.dumps(status | {"state": "cancelled"}))
    app.run()
    assert "Cancelled. Details: tab *Progress*." in captions(app)
    shutil.rmtree(run.path)
    app.run()
    assert not app.exception
    assert "Details: tab" not in captions(app)
    assert "Details: tab" not in captions(open_page(PAGE))


def test_rows_make_groups():
    rows = [
        {words.GROUP: " photo ", words.TEMPLATES: "a photo of a {}. | the {}.\n\nmy {}."},
        {words.GROUP: None, words.TEMPLATES: float("nan")},
    ]
    groups = words.rows_to_groups(rows)
    assert groups == {"photo": ("a photo of a {}.", "the {}.", "my {}.")}
    assert words.rows_to_groups(words.groups_to_rows(groups)) == groups


def test_rows_hold_every_template_as_it_is():
    own = {" a ": ("a | b {}.",), "line": ("a photo\nof {}.", " {} "), "back": ("\\| {}", "|{}")}
    rows = words.groups_to_rows(own)
    assert words.rows_to_groups(rows, own) == own
    changed = words.rows_to_groups([rows[0] | {words.GROUP: "c"}, *rows[1:]], own)
    assert list(changed) == ["c", "line", "back"]
    assert changed == {"c": own[" a "], "line": own["line"], "back": own["back"]}
    assert words.rows_to_groups([rows[2]]) == {"back": own["back"]}


@pytest.fixture
def own(tmp_path, monkeypatch):
    """The folder of an uploaded data set of three classes."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    data, folder = load_dataset("details"), tmp_path / "data/uploads/own"
    for split in SPLITS:
        for label in range(3):
            path = folder / split / data.class_names[label]
            path.mkdir(parents=True)
            for number, item in enumerate(data.items(split, [label])[:2]):
                data.image(item).save(path / f"{number}.png")
    return folder


def test_groups_with_a_bar_or_a_line_break_are_trained(started, own):
    groups = {"cards ": ("a photo | a card of a {}.",), "b": ("a sketch\nof a {}. ",)}
    write_edits(own, Edits(groups=groups))
    app = open_page(PAGE, data=str(own))
    assert not app.exception
    assert not app.error
    start(app)
    assert started[0].groups is None  # the data set's own


def test_a_visit_keeps_no_groups_but_a_change_does(started, own):
    """Groups that are saved with the data set are in the table of who changed nothing."""
    first = {"a": ("a {}.",), "b": ("the {}.",), "c": ("my {}.",)}
    write_edits(own, Edits(groups=first))
    app = open_page(PAGE, data=str(own))
    assert "3 classes, 3 experts" in captions(app)
    edited = f"{state.TEMPLATES_EDITED} {own}"
    assert edited not in app.session_state
    second = {"x": ("an {}.",), "y": ("one {}.",)}
    write_edits(own, Edits(groups=second))  # by another visitor
    app.run()
    assert "3 classes, 2 experts" in captions(app)
    app.session_state[edited] = words.groups_to_rows(first)
    app.session_state[f"{state.TEMPLATES_RESETS} {own}"] = 1
    app.run()
    assert "3 classes, 3 experts" in captions(app)
    write_edits(own, Edits(groups={**second, "z": ("this {}.",), "u": ("no {}.",)}))
    assert "3 classes, 3 experts" in captions(app.run())  # one's own edits stay
    field(app, "button", "Reset the table").click().run()
    assert "3 classes, 4 experts" in captions(app)


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "at least one group"),
        ([("", "a {}.")], "no name"),
        ([("a", "a {}."), ("a", "the {}.")], "Two groups are called 'a'"),
        ([("a", "")], "has no template"),
        ([("a", "a photo")], "exactly once"),
    ],
)
def test_bad_rows_are_refused(rows, message):
    table = [{words.GROUP: name, words.TEMPLATES: text} for name, text in rows]
    with pytest.raises(UserError, match=message):
        words.rows_to_groups(table)


@pytest.mark.parametrize(
    ("seconds", "message"),
    [(3, "a few seconds"), (23, "about 20 s"), (200, "about 3 min"), (9000, "about 2 h")],
)
def test_durations_are_rounded(seconds, message):
    assert words.duration(seconds) == message


def test_folder_paths_become_absolute(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    assert data_picker.data_name(" details ") == "details"
    assert data_picker.data_name("eurosat") == "eurosat"
    assert data_picker.data_name("photos") == str(tmp_path / "photos")
    with pytest.raises(UserError, match="Choose a data set"):
        data_picker.data_name("  ")


def test_fewer_images_than_asked_for_are_told(started, tmp_path):
    """A folder with few images trains on what there is, and says so beside the button."""
    for name in ("cat", "dog"):
        for number in range(8):
            path = tmp_path / "few" / name / f"{number}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.new("RGB", (8, 8), (number, 0, len(name))).save(path)
    app = open_page(PAGE, data=str(tmp_path / "few"))
    assert not app.exception
    assert "8 training images instead of 32: some classes have fewer than 16" in captions(app)
    untrained = open_page(PAGE, data=str(tmp_path / "few"), method="zero-shot")
    assert "2 classes" in captions(untrained)
    assert "instead of" not in captions(untrained)
