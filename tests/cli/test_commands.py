"""The command line: what it prints, what it refuses, and with which exit code."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from PIL import Image

from mocoop.cli.main import COMMANDS, main, parse
from mocoop.cli.train import TrainCommand
from mocoop.presets import preset
from mocoop.runs.run import Run, list_runs
from mocoop.runs.writer import queue_run
from mocoop.training.experiment import run_experiment


def run(capsys, *arguments):
    """Runs a command and returns exit code, output and errors."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_that_teaches(command, capsys):
    with pytest.raises(SystemExit) as stop:
        main([command, "--help"])
    assert stop.value.code == 0
    assert f"usage: mocoop {command}" in capsys.readouterr().out


def test_help_lists_every_command(capsys):
    code, out, _ = run(capsys, "--help")
    assert code == 0
    assert all(f"  {command} " in out for command in COMMANDS)


def test_help_of_train_shows_the_defaults_of_the_method(capsys):
    shown = {}
    for method in ("mocoop", "coop"):
        with pytest.raises(SystemExit):
            main(["train", "--method", method, "--help"])
        shown[method] = " ".join(capsys.readouterr().out.split())
    assert "(default: True)" in shown["mocoop"].partition("--learn-after")[2][:200]
    assert "(default: False)" in shown["coop"].partition("--learn-after")[2][:200]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fly"], "Unknown command 'fly'"),
        (["train", "--method", "cop"], "Unknown method 'cop'.*Did you mean 'coop'"),
        (["train", "--data", "pictograph"], "Unknown data set.*Did you mean 'pictographs'"),
        (["train", "--data", "no/such/folder"], "no such folder"),
        (["train", "--backbone", "ViT-B-16/openai"], "ViT-B-16-quickgelu/openai"),
        (["train", "--num-chosen", "12"], "only 6 experts"),
        (["train", "--shots", "0"], "shots must be at least 1"),
        (["train", "--device", "quantum"], "Device 'quantum'"),
        (["evaluate", "no-such-run"], "No run 'no-such-run'"),
        (["predict", "no-such-run", "x.png"], "No run 'no-such-run'"),
        (["data", "show", "nothing"], "Unknown data set"),
        (["data", "show", "--sheet", "x.png"], "Expected the name of a data set"),
        (["data", "show", "details", "--sheet", "x.jpg"], "PNG"),
    ],
)
def test_mistakes_are_told_in_words_with_code_2(arguments, words, capsys, workspace):
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert out == ""
    assert len(err.strip().splitlines()) == 1
    import re

    assert re.search(words, err)


def test_unknown_option_exits_with_2(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--epoch", "3"])
    assert stop.value.code == 2
    assert "--epochs" in capsys.readouterr().err


def test_options_override_what_a_run_starts_from(tmp_path):
    """In any order; the method's preset, or the settings of a file."""

    def parsed(*arguments):
        return parse("train", TrainCommand, list(map(str, arguments)))

    assert parsed().settings == preset("mocoop")
    command = parsed("--seed", 3, "--method=coop", "--epochs", "2", "--backbone", "a/b")
    assert command.settings == replace(preset("coop", "a/b"), seed=3, epochs=2)
    assert command.config is None
    file = tmp_path / "settings.json"
    file.write_text(json.dumps({"method": "coop", "shots": 4, "learning_rate": 0.5}))
    command = parsed("--method", "kgcoop", "--config", file, "--shots", 8)
    expected = replace(preset("coop"), method="kgcoop", shots=8, learning_rate=0.5)
    assert (command.settings, command.config) == (expected, file)


def test_help_shows_the_methods_own_defaults(capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", "--help", "--method", "tip-adapter-f"])
    assert stop.value.code == 0
    shown = " ".join(capsys.readouterr().out.split())
    assert "default: tip-adapter-f" in shown
    assert "default: 256" in shown
    assert "--config" in shown


@pytest.mark.parametrize("option", ["--method", "--config"])
def test_an_option_without_its_value(option, capsys):
    with pytest.raises(SystemExit) as stop:
        main(["train", option])
    assert stop.value.code == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('{"shot": 3}', "Unknown setting 'shot'.*Did you mean 'shots'"),
        ('{"shots": "many"}', "shots expects int, got str"),
        ("[1]", "expected a JSON object"),
        ("{", "cannot be read"),
    ],
)
def test_settings_file_is_checked(text, words, capsys, tmp_path):
    import re

    (tmp_path / "settings.json").write_text(text)
    code, _, err = run(capsys, "train", "--config", tmp_path / "settings.json")
    assert code == 2
    assert re.search(words, err)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("photo: ['a photo']", "exactly once"),
        ("photo: ['{} and {}.']", "it 2 times"),
        ("photo: []", "has no template"),
        ("just words", "expected lines such as"),
    ],
)
def test_templates_file_is_checked(text, words, capsys, tmp_path):
    (tmp_path / "groups.yaml").write_text(text)
    code, _, err = run(capsys, "train", "--templates", tmp_path / "groups.yaml")
    assert code == 2
    assert words in err


def test_train_with_own_templates_then_evaluate_and_predict(capsys, workspace, tmp_path):
    groups = tmp_path / "groups.yaml"
    groups.write_text("plain: ['a photo of a {}.']\ndrawn: ['a sketch of a {}.', 'art of a {}.']")
    path = workspace / "runs" / "from-cli"
    arguments = ["--data", "details", "--shots", 1, "--epochs", 1, "--templates", groups]
    code, out, _ = run(capsys, "train", *arguments, "--run", path, "--json")
    assert code == 0
    trained = json.loads(out)["results"]["all"]["accuracy"]

    code, out, _ = run(capsys, "evaluate", path, "--json")
    assert code == 0
    found = json.loads(out)["results"]["all"]
    assert found["accuracy"] == pytest.approx(trained)
    assert sum(map(len, found["confusion"].values())) > len(found["confusion"])
    images = sum(sum(row.values()) for row in found["confusion"].values())
    assert images == found["num_images"]
    code, out, _ = run(capsys, "evaluate", path, "--classes", "new")
    assert "new: " in out
    assert re.search(r"macro-F1 [\d.]+ %, mean per class [\d.]+ %, top-5 [\d.]+ %", out)
    assert re.search(r"mistake \S.* → \S.*: \d+ image", out)
    assert "style sketch" in out

    Image.new("RGBA", (30, 40), (200, 0, 0, 128)).save(tmp_path / "red.png")
    code, out, _ = run(capsys, "predict", path, tmp_path / "red.png", "--json")
    (answer,) = json.loads(out)["images"]
    assert code == 0
    assert sum(answer["probabilities"].values()) == pytest.approx(1, abs=1e-4)
    assert answer["label"] == next(iter(answer["probabilities"]))
    assert sum(answer["experts"].values()) == pytest.approx(1, abs=1e-5)
    assert list(answer["expert_scores"]) == ["plain", "drawn"]
    assert "white" in answer["notes"][0]
    code, out, _ = run(capsys, "predict", path, tmp_path / "red.png")
    assert "experts: " in out


def test_runs_lists_what_there_is(capsys, finished_run, workspace, tmp_path):
    code, out, _ = run(capsys, "runs", "--json")
    row = next(row for row in json.loads(out) if row["run"] == finished_run.name)
    assert code == 0
    assert row["state"] == "finished"
    assert row["harmonic_mean"] == pytest.approx(finished_run.results()["harmonic_mean"])
    assert row["base"] == pytest.approx(finished_run.results()["base"]["accuracy"])
    assert row["all"] is None
    heading, *lines = run(capsys, "runs")[1].splitlines()
    assert heading.split() == ["run", "state", "epochs", "all", "base", "new", "HM", "message"]
    assert any(finished_run.name in line for line in lines)
    assert "No runs yet" in run(capsys, "runs", "--root", tmp_path)[1]


def test_stopped_run_is_listed_and_goes_on(capsys, workspace, tmp_path):
    config = replace(preset("coop"), data="details", shots=1, epochs=2)
    training = run_experiment(config, tmp_path / "stopped")
    next(training)
    training.close()
    queue_run(tmp_path / "waiting")
    rows = json.loads(run(capsys, "runs", "--root", tmp_path, "--json")[1])
    assert {row["run"]: row["state"] for row in rows} == {
        "stopped": "cancelled",
        "waiting": "queued",
    }
    assert "waits for 0 other trainings" in run(capsys, "runs", "--root", tmp_path)[1]
    code, _, err = run(capsys, "resume", tmp_path / "stopped")
    assert code == 2
    assert "no snapshot to resume from" in err
    training = run_experiment(config, tmp_path / "later")
    for record in training:
        if record.epoch == config.epochs:  # the last epoch always leaves a snapshot
            break
    training.close()
    code, out, _ = run(capsys, "resume", tmp_path / "later", "--json")
    assert code == 0
    assert json.loads(out)["results"]["all"]["num_images"] == 576


def test_training_that_waits_takes_its_turn(capsys, workspace, tmp_path):
    arguments = ["train", "--data", "details", "--method", "zero-shot", "--wait", "--quiet"]
    assert run(capsys, *arguments, "--run", tmp_path / "run")[0] == 0
    assert Run(tmp_path / "run").status().state == "finished"


def test_folder_of_images_trains_from_the_command_line(capsys, workspace, tmp_path):
    for label, colour in {"red_square": "red", "blue_square": "blue"}.items():
        (tmp_path / "photos" / label).mkdir(parents=True)
        for index in range(6):
            image = Image.new("RGB", (70, 70), "white")
            image.paste(colour, (5 + index, 5, 40 + index, 45))
            image.save(tmp_path / "photos" / label / f"{index}.jpg")
    path = workspace / "runs" / "photos"
    code, out, _ = run(
        capsys, "train", "--data", tmp_path / "photos", "--epochs", 1, "--run", path, "--json"
    )
    assert code == 0
    assert json.loads(out)["results"]["all"]["num_images"] == 4
    assert json.loads((path / "config.json").read_text())["class_names"] == [
        "blue square",
        "red square",
    ]


def test_protocol_makes_tables_and_does_nothing_twice(capsys, workspace, monkeypatch):
    root, files = workspace / "protocol", workspace / "tables"
    files.mkdir()
    arguments = ["protocol", "base-to-new", "--data", "details", "--methods", "zero-shot"]
    arguments += ["--seeds", "1", "2", "--shots", "1", "--root", root]
    code, out, _ = run(capsys, *arguments, "--json")
    rows = json.loads(out)
    assert code == 0
    values = {(row["measure"], row["seed"]): row["value"] for row in rows}
    base, new = values["base", 1], values["new", 1]
    assert values["base", 2] == base  # no training, no seed
    assert values["HM", 1] == pytest.approx(2 * base * new / (base + new))
    monkeypatch.setattr(
        "mocoop.training.experiment.run_experiment", lambda *_: pytest.fail("done twice")
    )
    arguments += [
        "--csv",
        files / "a.csv",
        "--markdown",
        files / "a.md",
        "--latex",
        files / "a.tex",
    ]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert f"| zero-shot | {base:.1f} ± 0.0 | {new:.1f} ± 0.0 |" in out
    assert (files / "a.md").read_text() == out
    assert r"\toprule" in (files / "a.tex").read_text()
    assert len((files / "a.csv").read_text().splitlines()) == 1 + len(rows)


@pytest.mark.long
def test_ablation_compares_with_the_full_method(capsys, workspace):
    arguments = ["ablation", "--data", "digits", "--variants", "k-1", "--seeds", "1"]
    arguments += ["--shots", "1", "--epochs", "1", "--root", workspace / "ablation"]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    lines = [line.split("|")[1].strip() for line in out.splitlines() if line.startswith("| ")]
    assert lines == ["variant", "full (K = 2), epochs 1", "K = 1, epochs 1"]
    assert {one.setup().config.epochs for one in list_runs([workspace / "ablation"])} == {1}


def test_epochs_of_a_protocol_are_those_of_every_training(capsys, workspace):
    root = workspace / "short"
    arguments = ["protocol", "few-shot", "--data", "digits", "--methods", "zero-shot", "coop"]
    arguments += ["--seeds", "1", "--shots", "1", "--epochs", "2", "--root", root, "--json"]
    code, out, _ = run(capsys, *arguments)
    assert code == 0
    assert json.loads(out)
    found = {one.setup().config.method: one.setup().config.epochs for one in list_runs([root])}
    assert found == {"coop": 2, "zero-shot": preset("zero-shot").epochs}


def test_epochs_of_a_tuning_are_those_of_every_candidate(capsys, workspace):
    arguments = ["tune", "coop", "--data", "digits", "--shots", "1", "--json"]
    found = {}
    for line in (["learning_rate=0.1", "--epochs", "2"], ["learning_rate=0.1", "epochs=2"]):
        code, out, _ = run(capsys, *arguments, "--grid", *line)
        assert code == 0
        (candidate,) = json.loads(out)
        found[line[-1]] = candidate["mean"]
    assert found["2"] == found["epochs=2"]
    code, _, err = run(capsys, *arguments, "--grid", "epochs=2", "--epochs", "2")
    assert code == 2
    assert "leave --epochs out" in err


@pytest.mark.parametrize(
    "arguments",
    [["protocol", "few-shot"], ["ablation"], ["tune", "coop", "--grid", "learning_rate=1"]],
)
def test_no_epochs_at_all_are_refused(arguments, capsys, workspace):
    code, out, err = run(capsys, *arguments, "--data", "digits", "--epochs", "0")
    assert code == 2
    assert out == ""
    assert "epochs must be at least 1; got 0" in err
