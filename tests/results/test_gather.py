"""Which runs are averaged together, and which are not."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.results.gather import gather, variant_name
from mocoop.results.tables import base_to_new_tables
from mocoop.runs.delete import delete_run, why_kept
from mocoop.runs.run import Run, shipped_runs
from mocoop.runs.writer import queue_run
from tests.support.compare_example import copy_run


def means(runs):
    """Returns method → (base, new) as the table shows them."""
    table = base_to_new_tables(gather(runs).rows)[0]
    return {
        line.labels[0]: tuple(round(cell.mean, 6) for cell in line.cells[:2])
        for line in table.blocks[0].lines
    }


def test_seeds_of_the_same_settings_are_averaged(finished_run, tmp_path):
    runs = [
        copy_run(finished_run, tmp_path / "a", {"base": 60.0, "new": 50.0}, seed=1),
        copy_run(finished_run, tmp_path / "b", {"base": 70.0, "new": 40.0}, seed=2),
    ]
    label = variant_name(finished_run.setup())
    assert label == "mocoop, epochs 3"
    assert means(runs) == {label: (65.0, 45.0)}


def test_other_settings_stand_on_a_line_of_their_own(finished_run, tmp_path):
    runs = [
        copy_run(finished_run, tmp_path / "a", {"base": 60.0, "new": 50.0}),
        copy_run(finished_run, tmp_path / "b", {"base": 70.0, "new": 40.0}, learning_rate=0.1),
    ]
    assert means(runs) == {
        "mocoop, epochs 3": (60.0, 50.0),
        "mocoop, epochs 3, learning_rate 0.1": (70.0, 40.0),
    }


def test_other_groups_of_templates_are_other_runs(finished_run, tmp_path):
    runs = [copy_run(finished_run, tmp_path / name) for name in ("a", "b")]
    path = runs[1].path / "config.json"
    values = json.loads(path.read_text())
    first, *others = values["groups"].items()
    values["groups"] = {first[0]: ["a strange {}."], **dict(others)}
    path.write_text(json.dumps(values))
    names = f"groups {' + '.join(list(values['groups'])[:3])} and {len(values['groups']) - 3} more"
    assert list(means(runs)) == [f"mocoop, epochs 3, {names} ({place})" for place in (1, 2)]
    values["groups"] = {"toy": ["a toy {}."], "plush": ["a plush {}."]}
    path.write_text(json.dumps(values))
    labels = [names, "groups toy + plush"]
    assert list(means(runs)) == [f"mocoop, epochs 3, {label}" for label in labels]


def test_of_a_repeated_run_the_first_given_counts(finished_run, tmp_path):
    runs = [
        copy_run(finished_run, tmp_path / "new", {"base": 60.0, "new": 50.0}),
        copy_run(finished_run, tmp_path / "old", {"base": 10.0, "new": 10.0}),
    ]
    found = gather(runs)
    assert found.repeated == ("old",)
    assert means(runs) == {"mocoop, epochs 3": (60.0, 50.0)}


def test_zero_shot_stands_for_all_seeds(finished_run, tmp_path):
    untrained = preset("zero-shot")
    config = replace(untrained, data="details", classes="base", shots=2, seed=1).to_dict()
    runs = [
        copy_run(finished_run, tmp_path / "a", seed=1),
        copy_run(finished_run, tmp_path / "b", seed=2),
        copy_run(finished_run, tmp_path / "c", {"base": 55.0, "new": 45.0}, **config),
    ]
    rows = [row for row in gather(runs).rows if row.method == "zero-shot"]
    assert {(row.seed, row.shots) for row in rows} == {(1, 0), (2, 0)}
    assert means(runs)["zero-shot"] == (55.0, 45.0)


def test_runs_tell_zero_shot_where_no_run_of_it_does(finished_run, tmp_path):
    runs = [
        copy_run(finished_run, tmp_path / name, seed=seed) for seed, name in enumerate("ab", 1)
    ]
    saved = runs[0].results()
    base, new = saved["base"]["zero_shot"], saved["new"]["zero_shot"]
    found = gather(runs).untrained
    assert {(row.method, row.shots, row.data) for row in found} == {("zero-shot", 0, "details")}
    expected = {"base": base, "new": new, "HM": 2 * base * new / (base + new)}
    for seed in (1, 2):
        values = {row.measure: row.value for row in found if row.seed == seed}
        assert values == pytest.approx(expected)
    config = replace(preset("zero-shot"), data="details", classes="base", shots=2, seed=1)
    own = copy_run(finished_run, tmp_path / "c", **config.to_dict())
    assert gather([*runs, own]).untrained == ()
    del saved["base"]["zero_shot"], saved["new"]["zero_shot"]
    (runs[0].path / "results.json").write_text(json.dumps(saved))
    assert {row.seed for row in gather(runs).untrained} == {2}


def test_tests_on_other_data_are_a_transfer(finished_run, tmp_path):
    run = copy_run(finished_run, tmp_path / "a", classes="all")
    results = run.results()
    whole = results["base"] | {"accuracy": 50.0}
    (run.path / "results.json").write_text(json.dumps({"all": whole, "training_seconds": 1.0}))
    faces = {"accuracy": 33.0, "num_images": 9}
    (run.path / "transfer-faces.json").write_text(json.dumps(faces))
    rows = [row for row in gather([run]).rows if row.protocol == "cross-dataset"]
    assert {(row.target, row.value) for row in rows} == {("details", 50.0), ("faces", 33.0)}


def test_runs_from_elsewhere_do_not_hide_the_others(finished_run, tmp_path, monkeypatch):
    """Their data may be no path here, or share the name of something that is here."""
    own = copy_run(finished_run, tmp_path / "own", {"base": 60.0, "new": 50.0})
    elsewhere = "/" + "x" * 300 + "/pets"  # as little to be looked at as another user's folder
    other = copy_run(finished_run, tmp_path / "other", {"base": 1.0, "new": 2.0}, data=elsewhere)
    assert {row.data for row in gather([own, other]).rows} == {"details", "pets"}
    whole = finished_run.results()["base"]
    results = finished_run.results() | {"all": whole}
    for name, source in (("birds", {"source": "birds"}), ("cats", {})):
        run = copy_run(finished_run, tmp_path / name, classes="all")
        (run.path / "results.json").write_text(json.dumps(results))
        (run.path / f"transfer-{name}.json").write_text(json.dumps(whole | source))
    monkeypatch.chdir(tmp_path)  # where folders are called birds and cats
    found = gather([Run(tmp_path / name) for name in ("birds", "cats")])
    assert found.unreadable == ()
    assert {"birds", "cats"} <= {row.target for row in found.rows}


def test_sets_of_one_name_are_not_averaged_together(finished_run, tmp_path):
    """Two folders called pets are two sets, also as targets."""
    one, two = "/mine/a/pets", "/mine/b/pets"
    runs = [
        copy_run(finished_run, tmp_path / "1", {"base": 60.0, "new": 50.0}, data=one),
        copy_run(finished_run, tmp_path / "2", {"base": 70.0, "new": 40.0}, data=two),
        copy_run(finished_run, tmp_path / "3", {"base": 80.0, "new": 30.0}, data=two, seed=2),
    ]
    found = gather(runs)
    assert found.repeated == ()
    base = {(row.data, row.seed): row.value for row in found.rows if row.measure == "base"}
    assert base == {("a/pets", 1): 60.0, ("b/pets", 1): 70.0, ("b/pets", 2): 80.0}
    assert {row.data for row in found.untrained} == {"a/pets", "b/pets"}
    for number, (source, value) in enumerate(((one, 33.0), (two, 44.0))):
        values = {"accuracy": value, "num_images": 9, "source": source, "tested_on": "x"}
        run = copy_run(finished_run, tmp_path / f"on{number}", classes="all", seed=number)
        whole = run.results()["base"] | {"accuracy": 50.0}
        (run.path / "results.json").write_text(json.dumps({"all": whole, "training_seconds": 1.0}))
        (run.path / "transfer-pets.json").write_text(json.dumps(values))
        runs.append(run)
    rows = [row for row in gather(runs).rows if row.protocol == "cross-dataset"]
    assert {(row.target, row.value) for row in rows if row.target != "details"} == {
        ("a/pets", 33.0),
        ("b/pets", 44.0),
    }


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"backbone_fingerprint": "other"}, "with the earlier weights"),
        ({"class_names": list("abcdefgh")}, "with the earlier classes"),
        ({"inputs": {"test images": "other"}}, "on the earlier images"),
        ({"inputs": {}}, ""),
    ],
)
def test_runs_from_before_a_change_are_not_averaged_with_later_ones(
    changes, words, finished_run, tmp_path
):
    runs = [copy_run(finished_run, tmp_path / str(seed), seed=seed) for seed in (1, 2)]
    path = runs[1].path / "config.json"
    values = json.loads(path.read_text()) | changes
    values["class_names"] = values["class_names"] + ["z"] * 99
    values["class_names"] = values["class_names"][: len(finished_run.setup().class_names)]
    path.write_text(json.dumps(values))
    found = gather(runs)
    labels = dict.fromkeys(row.method for row in found.rows)
    assert list(labels) == ["mocoop, epochs 3", *([f"mocoop, epochs 3, {words}"] * bool(words))]
    assert {row.seed for row in found.untrained} == ({1} if words else {1, 2})


def test_damaged_and_unfinished_runs_are_named_and_left_out(finished_run, tmp_path):
    good = copy_run(finished_run, tmp_path / "good")
    broken = copy_run(finished_run, tmp_path / "broken")
    (broken.path / "config.json").write_text("{")
    odd = copy_run(finished_run, tmp_path / "odd", seed=9)
    (odd.path / "results.json").write_text('{"base": 3}')
    waiting = queue_run(tmp_path / "waiting")
    found = gather([good, broken, odd, waiting])
    assert set(found.unreadable) == {"broken", "odd", "waiting"}
    assert {row.seed for row in found.rows} == {1}


def test_runs_are_deleted_whole(finished_run, tmp_path):
    run = copy_run(finished_run, tmp_path / "a")
    other = copy_run(finished_run, tmp_path / "b")
    delete_run(run)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    with pytest.raises(UserError, match="'a' was not deleted: it is not a run folder"):
        delete_run(run)
    assert other.results()


def test_shipped_and_active_runs_and_other_folders_stay(finished_run, tmp_path):
    shipped = next(Run(path) for path in shipped_runs().iterdir())
    with pytest.raises(UserError, match="comes with MoCoOp"):
        delete_run(shipped)
    assert shipped.results()
    waiting = queue_run(tmp_path / "waiting")  # on the account of this process
    with pytest.raises(UserError, match="queued or running"):
        delete_run(waiting)
    assert waiting.path.is_dir()
    (tmp_path / "photos").mkdir()
    assert "not a run folder" in str(why_kept(Run(tmp_path / "photos")))
    copy_run(finished_run, tmp_path / "elsewhere" / "a")
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere" / "a")
    assert "not a run folder" in str(why_kept(Run(tmp_path / "link")))


def test_a_run_that_cannot_be_moved_is_left_whole(finished_run, tmp_path, monkeypatch):
    run = copy_run(finished_run, tmp_path / "a")

    def refuse(*args):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("pathlib.Path.rename", refuse)
    with pytest.raises(UserError, match=r"could not be deleted \(Permission denied"):
        delete_run(run)
    assert run.results()
