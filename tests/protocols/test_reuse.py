"""Finished runs are used again only where they would be trained just so today."""

from __future__ import annotations

import json
import shutil
import warnings
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image
from safetensors.torch import load_file, save_file

from mocoop.assets import asset
from mocoop.datasets import load_dataset
from mocoop.errors import UserError, UserNote
from mocoop.evaluation.transfer import evaluate_on
from mocoop.evaluation.transfer_files import saved_targets
from mocoop.presets import preset
from mocoop.protocols import runner
from mocoop.protocols.lab import LabSettings
from mocoop.protocols.lab_grid import _part
from mocoop.protocols.plans import Plan, tasks
from mocoop.protocols.reuse import Expectations
from mocoop.protocols.runner import run_name, run_tasks
from mocoop.results.gather import gather
from mocoop.results.protocol_rows import labels_of, rows_of
from mocoop.runs.export_zip import write_archive
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run
from mocoop.storage.engines import Engine
from mocoop.sweeps.halving import run_sweep
from mocoop.sweeps.plan import Sweep


def pets(folder, names=("cat", "dog", "owl", "emu"), colour=0, splits=("train", "test")):
    """Makes a folder with two images of each class in each split."""
    for split in splits:
        for place, name in enumerate(names):
            for number in range(2):
                file = folder / split / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                shade = (60 * place, colour, 100 * number + 7 * (split == "test"))
                Image.new("RGB", (8, 8), shade).save(file)
    return folder


def planned(data, *others, methods=("zero-shot",), **changes):
    """Returns the tasks of a plan with one seed and one epoch."""
    protocol = "cross-dataset" if others else "few-shot"
    names = tuple(map(str, (data, *others)))
    return tasks(Plan(protocol, names, methods, (1,), (1,), epochs=1, **changes))


def finished(asked, root):
    """Returns the runs of tasks; no finished run may be left out silently."""
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserNote)
        return [run for _, run in run_tasks(asked, root)]


def trained_anew(asked, root, what):
    """Returns the run of a task that has to be trained anew; a note says what has changed."""
    with pytest.warns(UserNote, match=f"^{what} changed since .* trained anew"):
        ((_, run),) = run_tasks(asked, root)
    return run


def own_clip(folder):
    """Returns a folder with a copy of the small CLIP."""
    shutil.copytree(asset("demo-clip"), folder)
    return folder


def train_further(clip):
    """Changes the weights of a CLIP in a folder."""
    file = clip / "open_clip_model.safetensors"
    weights = load_file(file)
    weights["visual.proj"] = weights["visual.proj"] + 0.1
    save_file(weights, file)


def repaint(folder):
    """Changes both images of a class."""
    for number in range(2):
        Image.new("RGB", (8, 8), (1, 2, 3)).save(folder / "cat" / f"{number}.png")


CHANGES = {
    "The training images": lambda data: repaint(data / "train"),
    "The test images": lambda data: repaint(data / "test"),
    "The class names": lambda data: (data / "mocoop.yaml").write_text("classes: {cat: kitten}\n"),
    "The templates": lambda data: (data / "mocoop.yaml").write_text("zero_shot: 'my {}.'\n"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_other_data_are_trained_on_in_another_folder(what, tmp_path, workspace):
    data = pets(tmp_path / "pets")
    (first,) = finished(planned(data), tmp_path / "runs")
    before = (first.path / "results.json").read_bytes()
    assert finished(planned(data), tmp_path / "runs") == [first]
    CHANGES[what](data)
    second = trained_anew(planned(data), tmp_path / "runs", what)
    assert second.name == f"{first.name}-1"
    assert (first.path / "results.json").read_bytes() == before
    assert finished(planned(data), tmp_path / "runs") == [second]


def test_a_clip_with_other_weights_is_another_clip(tmp_path, workspace):
    data, clip = pets(tmp_path / "pets"), own_clip(tmp_path / "myclip")
    asked = planned(data, backbone=str(clip))
    (first,) = finished(asked, tmp_path / "runs")
    train_further(clip)
    second = trained_anew(asked, tmp_path / "runs", "The weights of the CLIP")
    assert second.setup().backbone_fingerprint != first.setup().backbone_fingerprint
    assert finished(asked, tmp_path / "runs") == [second]


def test_a_relative_path_means_the_folder_that_it_meant(tmp_path, workspace, monkeypatch):
    runs = []
    for number, folder in enumerate(("one", "two")):
        pets(tmp_path / folder / "set", colour=100 * number)
        monkeypatch.chdir(tmp_path / folder)
        (asked,) = planned("set")
        assert asked.config.data == str(tmp_path / folder / "set")
        runs += finished([asked], tmp_path / "runs")
    assert len({run.path for run in runs}) == 2
    assert planned("digits")[0].config.data == "digits"


def as_before(run, name):
    """Returns a run as an earlier version left it: under another name, without keys."""
    moved = run.path.rename(run.path.parent / name)
    file = moved / "config.json"
    values = json.loads(file.read_text())
    del values["inputs"]
    file.write_text(json.dumps(values))
    return Run(moved)


def test_runs_of_earlier_versions_are_found_by_what_they_record(tmp_path, workspace, monkeypatch):
    """They were named by the path as it was given, and have no keys of their images."""
    data, root = pets(tmp_path / "pets"), tmp_path / "runs"
    monkeypatch.chdir(tmp_path)
    asked = planned(data, methods=("coop",))
    (run,) = finished(asked, root)
    old = as_before(run, run_name(replace(asked[0].config, data="pets/")))
    monkeypatch.setattr("mocoop.training.experiment.run_experiment", None)
    assert finished(asked, root) == [old]
    other = replace(asked[0], config=replace(asked[0].config, momentum=0.5))
    assert runner._Search(root, other.config, Expectations()).finished() is None
    CHANGES["The test images"](data)  # it does not record them
    assert finished(asked, root) == [old]
    Image.new("RGB", (8, 8)).save(data / "test" / "cat" / "2.png")
    assert runner._Search(root, asked[0].config, Expectations()).finished() is None


def test_a_stopped_run_of_other_data_is_not_continued(tmp_path, workspace, monkeypatch):
    from mocoop.training import experiment

    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    data = pets(tmp_path / "pets")
    (asked,) = planned(data, methods=("coop",))
    training = experiment.run_experiment(asked.config, tmp_path / run_name(asked.config))
    assert [next(training).epoch, next(training).epoch] == [0, 1]
    training.close()
    CHANGES["The test images"](data)
    (run,) = finished([asked], tmp_path)
    assert run.name == run_name(asked.config) + "-1"


def test_tests_on_other_data_say_what_they_were_made_on(tmp_path, workspace):
    """Two sets of one name are told apart, and changed images are tested on again."""
    src, one, two = (pets(tmp_path / name) for name in ("src", "a/pets", "c/pets"))
    pets(two, ("ant", "bee"), colour=50)
    asked = planned(src, one, two)
    (run,) = finished(asked, tmp_path / "runs")
    labels = labels_of(asked)
    assert list(labels.values()) == ["src", "a/pets", "c/pets"]
    rows = {row.target: row.value for row in rows_of(asked[0], run, labels)}
    on_two = evaluate_on(run, load_dataset(str(two)))
    assert rows["a/pets"] == evaluate_on(run, load_dataset(str(one)))["accuracy"]
    assert rows["c/pets"] == on_two["accuracy"]
    assert saved_targets(run) == (str(one), str(two))
    Image.new("RGB", (8, 8), (9, 9, 9)).save(two / "test" / "ant" / "2.png")
    assert finished(asked, tmp_path / "runs") == [run]
    assert evaluate_on(run, load_dataset(str(two)))["num_images"] == on_two["num_images"] + 1
    assert saved_targets(run) == (str(one), str(two))


def test_a_packed_run_holds_no_folder_of_what_it_was_tested_on(tmp_path, workspace):
    src, target = pets(tmp_path / "src"), pets(tmp_path / "a" / "pets")
    (run,) = finished(planned(src, target), tmp_path / "runs")
    write_archive(run, tmp_path / "run.zip")
    assert str(tmp_path).encode() not in b"".join(contents(tmp_path / "run.zip"))
    again = read_archive(tmp_path / "run.zip", tmp_path / "other")
    assert saved_targets(again) == ("pets",)
    (row,) = (row for row in gather([again]).rows if row.target == "pets")
    assert row.value == evaluate_on(run, load_dataset(str(target)))["accuracy"]


def contents(file):
    """Returns the bytes of all files in a zip."""
    with zipfile.ZipFile(file) as archive:
        return [archive.read(name) for name in archive.namelist()]


def test_old_tests_count_for_built_in_sets_alone(tmp_path, workspace, monkeypatch):
    src, target = pets(tmp_path / "src"), pets(tmp_path / "a" / "pets")
    (run,) = finished(planned(src), tmp_path / "runs")
    for name in ("digits", "pets"):
        text = json.dumps({"accuracy": 33.0, "num_images": 9})
        (run.path / f"transfer-{name}.json").write_text(text)
    assert saved_targets(run) == ("digits", "pets")
    assert evaluate_on(run, load_dataset("digits"))["accuracy"] == 33.0
    assert evaluate_on(run, load_dataset(str(target)))["num_images"] == 8
    assert set(saved_targets(run)) == {"digits", str(target)}


def test_measures_for_the_lab_are_those_of_one_clip_and_one_set(tmp_path, workspace):
    data = pets(tmp_path / "pets")
    config = LabSettings(str(data), 1).config("coop")
    names = [_part(tmp_path, Expectations().of(config))]
    assert _part(tmp_path, Expectations().of(config)) == names[0]
    for what in ("The test images", "The class names"):
        CHANGES[what](data)
        names.append(_part(tmp_path, Expectations().of(config)))
    names.append(_part(tmp_path, replace(Expectations().of(config), backbone_fingerprint="x")))
    assert len(set(names)) == len(names)


def test_a_sweep_does_not_go_on_with_other_data(tmp_path, workspace):
    data = pets(tmp_path / "pets", splits=("train", "val", "test"))
    sweep = Sweep((str(data),), ("coop",), (1,), (1,), settings={"epochs": 1},
                  grid={"learning_rate": (0.1,)})  # fmt: skip
    list(run_sweep(sweep, tmp_path / "sweep", Engine()))
    list(run_sweep(sweep, tmp_path / "sweep", Engine()))
    CHANGES["The test images"](data)
    with pytest.raises(UserError, match="images or the templates have changed since the sweep"):
        list(run_sweep(sweep, tmp_path / "sweep", Engine()))


def test_the_groups_that_were_chosen_are_not_taken_for_changed_ones(tmp_path, workspace):
    """With num_experts auto a run's groups are no longer those that it began with."""
    data = pets(tmp_path / "pets")
    known = Expectations()
    config = replace(preset("mocoop"), data=str(data), shots=1, num_experts="auto")
    expected = known.of(config)
    setup = _setup(expected)
    chosen = dict(list(setup.groups.items())[:1])
    assert expected.difference(_Saved(replace(setup, groups=chosen))) == ""
    plain = known.of(replace(config, num_experts="groups"))
    assert plain.difference(_Saved(replace(setup, groups=chosen))) == "the templates"


def _setup(expected):
    from mocoop.runs.run import RunSetup

    groups = expected.config.groups
    return RunSetup(
        replace(expected.config, precision="fp32"), expected.class_names, groups, 4, 100.0,
        expected.backbone_fingerprint, inputs=expected.inputs,
    )  # fmt: skip


class _Saved(Run):
    """A run with a setup in memory."""

    def __init__(self, setup):
        super().__init__(Path("nowhere"))
        object.__setattr__(self, "saved", setup)

    def setup(self):
        return self.saved
