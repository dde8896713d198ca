"""Protocols: which runs they are, what they refuse beforehand, and that done is done."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import pytest
from PIL import Image

from mocoop.datasets import absolute_source, dataset_labels, dataset_name, load_dataset
from mocoop.errors import UserError
from mocoop.evaluation.transfer import evaluate_on
from mocoop.methods import METHODS
from mocoop.presets import preset
from mocoop.protocols import reuse
from mocoop.protocols import runner as protocol_runs
from mocoop.protocols.ablations import ablation_tasks
from mocoop.protocols.plans import Plan, Task, tasks
from mocoop.protocols.runner import run_name, run_tasks
from mocoop.results.protocol_rows import rows_of, time_spent
from mocoop.results.tables import transfer_tables
from mocoop.runs.run import Run, new_run_path
from mocoop.runs.writer import RunWriter
from mocoop.training import experiment

QUICK = ("zero-shot", "linear-probe", "mocoop")


def quick(protocol="few-shot", methods=("zero-shot", "coop"), **changes):
    """Returns the tasks of a plan on the digits, cut to one epoch."""
    values = {"data": ("digits",), "shots": (1,), "seeds": (1, 2)} | changes
    found = tasks(Plan(protocol, methods=methods, **values))
    return [
        replace(task, config=replace(task.config, epochs=min(task.config.epochs, 1)))
        for task in found
    ]


def test_every_method_shot_and_seed_is_a_run():
    plan = Plan("few-shot", ("digits", "details"), ("coop", "mocoop"), (1, 4), (1, 2, 3))
    found = [(t.config.data, t.label, t.shots, t.seeds) for t in tasks(plan)]
    assert found[:4] == [
        ("digits", "coop", 1, (1,)),
        ("digits", "coop", 1, (2,)),
        ("digits", "coop", 1, (3,)),
        ("digits", "coop", 4, (1,)),
    ]
    assert len(set(found)) == 2 * 2 * 2 * 3


def test_methods_without_training_run_once_for_all_seeds():
    (task,) = tasks(Plan("few-shot", ("digits",), ("zero-shot",), (4, 16), (5, 6)))
    assert (task.shots, task.seeds, task.config.shots, task.config.seed) == (0, (5, 6), 4, 5)


def test_each_protocol_trains_what_its_name_says():
    assert all(t.config.classes == "all" for t in quick())
    assert all(t.config.classes == "base" for t in quick("base-to-new"))
    assert all(t.config.style == "photo" for t in quick("domain-generalization"))
    found = quick("cross-dataset", data=("digits", "details", "faces"))
    assert {t.config.data for t in found} == {"digits"}
    assert {t.targets for t in found} == {("details", "faces")}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "few-shots"}, "Did you mean 'few-shot'"),
        ({"methods": ("moco",)}, "Unknown method 'moco'.*Did you mean 'mocoop'"),
        ({"seeds": ()}, "seeds is empty"),
        ({"shots": (1, 99, 200)}, r"99 shots .* more than 36 .*Would run: --shots 1\."),
        ({"shots": (99,)}, r"Would run: --shots 36\."),
        ({"protocol": "cross-dataset"}, "give at least two"),
        (
            {"protocol": "cross-dataset", "data": ("digits", "details"), "methods": QUICK},
            r"linear-probe knows only .*Would run: --methods zero-shot mocoop\.",
        ),
        (
            {"protocol": "domain-generalization", "style": "etching"},
            "its styles are photo, sketch",
        ),
        (
            {"protocol": "domain-generalization", "shots": (16,)},
            r"more than 4 training images of the style 'photo'",
        ),
    ],
)
def test_what_cannot_run_is_told_before_anything_is_trained(changes, message):
    values = {"protocol": "few-shot", "data": ("digits",), "methods": ("coop",)} | changes
    with pytest.raises(UserError, match=message):
        tasks(Plan(**values))


def folder_of(path, classes, splits=("train", "test")):
    """Makes a folder data set with two images per class and split."""
    for split in splits:
        for name in classes:
            for number in range(2):
                file = path / split / name / f"{number}.png"
                file.parent.mkdir(parents=True, exist_ok=True)
                Image.new("RGB", (8, 8), (number * 90, len(name), 50)).save(file)
    return str(path)


def test_base_to_new_needs_two_classes_in_each_half(tmp_path):
    data = folder_of(tmp_path / "three", ("cat", "dog", "owl"))
    with pytest.raises(UserError, match=r"3 classes, that is 2 base and 1 new. Would run: few-"):
        tasks(Plan("base-to-new", (data,), ("coop",), (1,)))


def test_styles_must_be_known(tmp_path):
    data = folder_of(tmp_path / "pets", ("cat", "dog"))
    with pytest.raises(UserError, match=r"styles of its images are not known.*with --targets"):
        tasks(Plan("domain-generalization", (data,), ("coop",), (1,)))


def test_mixtures_need_as_many_groups_as_they_choose(tmp_path):
    """Told before the runs on other data sets are trained; ablations compare mixtures."""
    data = folder_of(tmp_path / "pictures", ("cat", "dog", "owl", "pig"))
    (tmp_path / "pictures" / "mocoop.yaml").write_text("groups: {photo: ['a photo of a {}.']}\n")
    with pytest.raises(UserError, match=r"mocoop chooses 2 .* has 1\. Would run: --methods coop,"):
        tasks(Plan("few-shot", ("digits", data), ("coop", "mocoop"), (1,)))
    assert tasks(Plan("few-shot", (data,), ("coop", "lasp"), (1,)))
    with pytest.raises(UserError, match=r"chooses 2 .* add groups to its mocoop\.yaml"):
        ablation_tasks((data,), shots=1)


def test_linear_probe_needs_validation_images(tmp_path, monkeypatch):
    data = folder_of(tmp_path / "pets", ("cat", "dog"))
    from mocoop.protocols import plans as protocols

    def without_val(name):
        dataset = original(name)
        return replace(dataset, splits=dataset.splits | {"val": ()})

    original = protocols.load_dataset
    monkeypatch.setattr(protocols, "load_dataset", without_val)
    with pytest.raises(UserError, match=r"has none. Would run: --methods coop, or add a folder"):
        tasks(Plan("few-shot", (data,), ("coop", "linear-probe"), (1,)))
    assert tasks(Plan("few-shot", (data,), ("coop",), (1,), (1,)))


def test_what_is_done_is_not_done_again(tmp_path, workspace, monkeypatch):
    asked = quick(methods=("zero-shot", "coop"))
    first = {id(task): run.path for task, run in run_tasks(asked, tmp_path)}
    assert len(first) == len(asked) == 3

    def fail(*arguments):
        raise AssertionError("trained again")

    monkeypatch.setattr("mocoop.training.experiment.run_experiment", fail)
    again = {id(task): run.path for task, run in run_tasks(asked, tmp_path)}
    assert again == first


def test_an_interrupted_run_is_left_alone(tmp_path, workspace):
    (asked,) = quick(seeds=(1,), methods=("coop",))
    RunWriter(tmp_path / run_name(asked.config)).update(state="failed", message="lost power")
    ((_, run),) = run_tasks([asked], tmp_path)
    assert run.path.name == run_name(asked.config) + "-1"
    assert Run(tmp_path / run_name(asked.config)).status().state == "failed"
    ((_, again),) = run_tasks([asked], tmp_path)
    assert again == run


def test_a_stopped_run_goes_on_where_it_was(tmp_path, workspace, monkeypatch):
    """What a stopped protocol had trained of a run is not trained again, nor lost."""
    monkeypatch.setattr(experiment, "SNAPSHOT_SECONDS", 0.0)
    (asked,) = quick(seeds=(1,), methods=("coop",))
    asked = replace(asked, config=replace(asked.config, epochs=4))
    path = tmp_path / run_name(asked.config)
    training = experiment.run_experiment(asked.config, path)
    next(record for record in training if record.epoch == 2)
    training.close()
    before = Run(path).records()
    monkeypatch.setattr(experiment, "run_experiment", None)
    ((_, run),) = run_tasks([asked], tmp_path)
    assert run.path == path
    assert run.status().state == "finished"
    assert run.records()[:3] == before
    assert [record["epoch"] for record in run.records()] == [0, 1, 2, 3, 4]


def test_equal_settings_share_a_run(tmp_path, workspace):
    (asked,) = quick(seeds=(1,), methods=("coop",))
    twin = replace(asked, protocol="ablation", label="full")
    found = list(run_tasks([asked, twin], tmp_path))
    assert [run.path for _, run in found] == [tmp_path / run_name(asked.config)] * 2
    assert run_name(asked.config) == run_name(replace(asked.config, device="cpu"))
    assert run_name(asked.config) != run_name(replace(asked.config, momentum=0.8))


def test_rows_of_a_transfer_are_read_without_opening_the_data(tmp_path, workspace, monkeypatch):
    """Listing ImageNet for every row would take longer than testing on it."""
    asked = quick("cross-dataset", data=("digits", "details"), seeds=(1,))
    first = {run.path for _, run in run_tasks(asked, tmp_path)}
    opened = []
    monkeypatch.setattr(reuse, "load_dataset", lambda n: opened.append(n) or load_dataset(n))
    monkeypatch.setattr(protocol_runs, "load_dataset", lambda name: pytest.fail("listed again"))
    again = list(run_tasks(asked, tmp_path))
    assert {run.path for _, run in again} == first
    assert sorted(opened) == ["details", "digits"]  # once for all runs
    task, run = again[0]
    rows = {row.target: row.value for row in rows_of(task, run) if row.measure == "accuracy"}
    assert rows["details"] == evaluate_on(run, load_dataset("details"))["accuracy"]
    assert rows["digits"] == run.results()["all"]["accuracy"]


def test_names_are_those_of_the_loaded_data(tmp_path, monkeypatch):
    data = folder_of(tmp_path / "pets", ("cat", "dog"))
    (tmp_path / "link").symlink_to(data)
    monkeypatch.chdir(data)
    for name in ("digits", data, str(tmp_path / "link"), ".", "../pets/", "../link/../pets"):
        assert dataset_name(name) == load_dataset(name).name
    config = replace(preset("coop"), data=".", shots=1)
    assert run_name(config).startswith("pets-coop-1shot-seed1-")
    assert new_run_path(config, tmp_path).name == "pets-coop-1shot-seed1-001"
    assert absolute_source(".") == absolute_source("../link") == data
    assert absolute_source("digits") == "digits"


def test_sets_of_one_name_are_labelled_by_their_paths(tmp_path):
    one, two = (folder_of(tmp_path / name / "pets", ("cat", "dog")) for name in ("a", "b"))
    other = folder_of(tmp_path / "digits", ("cat", "dog"))
    labels = dataset_labels((one, two, other, "digits", one, "faces"))
    ends = ["a/pets", "b/pets", f"{tmp_path.name}/digits", "digits", "faces"]
    assert list(labels.values()) == ends
    assert dataset_labels((one, "faces")) == {one: "pets", "faces": "faces"}
    found = tasks(Plan("few-shot", (one, two), ("zero-shot",), (1,), (1,)))
    assert [task.config.data for task in found] == [one, two]


@pytest.mark.parametrize("name", ["data", "methods", "shots", "seeds", "targets"])
def test_what_is_given_twice_is_refused_before_anything_is_trained(name, tmp_path, monkeypatch):
    data = folder_of(tmp_path / "pets", ("cat", "dog"))
    monkeypatch.chdir(tmp_path)
    values = {"data": ("digits",), "methods": ("coop",), "shots": (1,), "seeds": (1,)}
    twice = {"data": ("pets", "./pets/"), "targets": (data, "pets")}
    values |= {name: twice.get(name) or values[name] * 2}
    with pytest.raises(UserError, match=f"^{name} has .* twice: leave one of them out"):
        Plan("domain-generalization", **values)
    with pytest.raises(UserError, match="among both data and targets"):
        Plan("domain-generalization", ("pets",), ("coop",), targets=("faces", "pets/"))


def test_a_style_without_test_images_has_no_number(tmp_path, workspace):
    """Its cell in the table is a dash."""
    folder = tmp_path / "drawn"
    lines = ["path,label,split,style"]
    for place, label in enumerate(("cat", "dog")):
        for number in range(4):
            file = f"{label}{number}.png"
            folder.mkdir(exist_ok=True)
            Image.new("RGB", (8, 8), (60 * place, 50 * number, 9)).save(folder / file)
            part = ("train,photo", "train,photo", "test,sketch", "test,ink")[number]
            lines.append(f"{file},{label},{part}")
    (folder / "drawn.csv").write_text("\n".join(lines))
    plan = Plan("domain-generalization", (str(folder / "drawn.csv"),), ("zero-shot",), (1,), (1,))
    ((task, run),) = run_tasks(tasks(plan), tmp_path / "runs")
    rows = rows_of(task, run)
    assert {row.target for row in rows} == {"sketch", "ink"}
    (table,) = transfer_tables(rows, "domain-generalization")
    assert table.columns[0] == "photo (trained on)"
    first, *others = table.blocks[0].lines[0].cells
    assert first.mean is None
    assert all(cell.mean is not None for cell in others)


@pytest.mark.long
def test_several_workers_give_the_same_numbers(tmp_path, workspace):
    asked = quick(methods=("coop", "mocoop"), seeds=(1,))
    one = {t.label: rows_of(t, run) for t, run in run_tasks(asked, tmp_path / "one")}
    two = {t.label: rows_of(t, run) for t, run in run_tasks(asked, tmp_path / "two", workers=2)}
    for label in one:
        for left, right in zip(one[label], two[label], strict=True):
            assert replace(left, value=0.0) == replace(right, value=0.0)
            if left.measure != "training seconds":
                # Another number of threads adds up in another order.
                assert left.value == pytest.approx(right.value, rel=1e-5)


def test_a_failing_run_stops_the_protocol_and_keeps_the_others(tmp_path, workspace):
    good, bad = quick(methods=("coop",))
    bad = replace(bad, config=replace(bad.config, epochs=3, learning_rate=1e35, clip_norm=0.0))
    with pytest.raises(UserError, match="no longer a finite number"):
        list(run_tasks([good, bad], tmp_path))
    assert Run(tmp_path / run_name(good.config)).status().state == "finished"


def test_rows_of_base_to_new_and_styles(tmp_path, workspace):
    asked = [
        *quick("base-to-new", QUICK, seeds=(1,)),
        *quick("domain-generalization", ("coop",), seeds=(1,)),
    ]
    rows = [row for task, run in run_tasks(asked, tmp_path) for row in rows_of(task, run)]
    values = {(r.method, r.target, r.measure): r.value for r in rows if r.protocol[:4] == "base"}
    base, new = values["mocoop", "digits", "base"], values["mocoop", "digits", "new"]
    assert values["mocoop", "digits", "HM"] == pytest.approx(2 * base * new / (base + new))
    assert ("linear-probe", "digits", "base") in values
    assert ("linear-probe", "digits", "new") not in values
    by_style = {r.target: r for r in rows if r.protocol == "domain-generalization"}
    assert len(by_style) == 9
    assert "photo" not in by_style
    assert "digits" in by_style


def test_rows_hold_every_measure_for_every_seed_of_a_run(tmp_path, workspace):
    asked = quick(methods=("zero-shot", "mocoop"))
    rows = [row for task, run in run_tasks(asked, tmp_path) for row in rows_of(task, run)]
    counts = Counter((row.method, row.measure) for row in rows)
    assert counts["zero-shot", "accuracy"] == counts["mocoop", "accuracy"] == 2
    for measure in ("style NMI", "routing entropy", "guide agreement, first", "oracle"):
        assert (counts["mocoop", measure], counts["zero-shot", measure]) == (2, 0)
    runs = [run for _, run in run_tasks(asked, tmp_path)]
    number, total, median = time_spent([*runs, *runs])
    assert number == 3
    assert 0 < median <= total


@pytest.mark.long
def test_presets_of_all_methods_run_few_shot(tmp_path, workspace):
    """Every method of the list goes from settings to rows."""
    asked = []
    for method in METHODS:
        config = replace(preset(method), data="digits", shots=1)
        config = replace(config, epochs=min(config.epochs, 1))
        asked.append(Task("few-shot", method, config, 1, (1,)))
    found = {task.label: rows_of(task, run) for task, run in run_tasks(asked, tmp_path)}
    assert list(found) == list(METHODS)
    assert all(rows[0].measure == "accuracy" for rows in found.values())
