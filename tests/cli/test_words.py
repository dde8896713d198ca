"""What the command line says in passing: quickly, in words, and what to do next."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from mocoop.catalog.check import Counted, Report
from mocoop.cli import train as commands
from mocoop.cli.console import print_results, print_runs, progress_bar, shorten, size_text
from mocoop.cli.data import _print_report
from mocoop.cli.main import main
from mocoop.cli.output_paths import check_file, check_folder
from mocoop.cli.train import TrainCommand
from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.runs.paths import find_run, short_name
from mocoop.runs.run import Run
from mocoop.runs.writer import queue_run
from tests.support.image_files import add_files


def run(capsys, *arguments):
    """Runs a command and returns exit code, output and errors."""
    code = main([str(argument) for argument in arguments])
    out, err = capsys.readouterr()
    return code, out, err


@pytest.mark.parametrize(
    "arguments",
    [
        ["train", "--data", "nope"],
        ["train", "--data", "DATA"],
        ["train", "--data", "dtd"],
        ["predict", "nope", "x.png"],
        ["predict", "RUN", "x.png"],
        ["resume", "nope"],
        ["evaluate", "nope"],
        ["export", "nope", "--out", "x"],
        ["export", "RUN", "--out", "/no/where"],
        ["pack", "nope"],
        ["bench", "--repeats", "0"],
        ["data", "check", "DATA"],
        ["data", "show", "details", "--sheet", "/no/where.png"],
        ["protocol", "few-shot", "--csv", "/no/where.csv"],
    ],
)
def test_names_and_paths_are_checked_without_torch(arguments, finished_run, tmp_path):
    """Such a mistake is told in a fraction of the time that importing torch takes."""
    add_files(tmp_path, *(f"{c}/{n}.png" for c in ("cat", "dog") for n in range(3)))
    (tmp_path / "mocoop.yaml").write_text("clases:\n  cat: x\n")
    named = {"DATA": str(tmp_path), "RUN": str(finished_run.path)}
    arguments = [named.get(argument, argument) for argument in arguments]
    code = (
        "import sys; from mocoop.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if 'torch' in sys.modules else code)"
    )
    found = subprocess.run(
        [sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2, found.stderr
    assert found.stderr.startswith("mocoop: ")


@pytest.mark.parametrize("json_", [(), ("--json",)], ids=str)
def test_the_list_of_runs_needs_no_torch(finished_run, json_):
    """Neither for the list itself nor for the accuracies in it."""
    code = (
        "import sys; from mocoop.cli.main import main; code = main(sys.argv[1:]); "
        "sys.exit(9 if {'torch', 'open_clip', 'streamlit'} & set(sys.modules) else code)"
    )
    command = [sys.executable, "-c", code, "runs", "--root", str(finished_run.path.parent), *json_]
    found = subprocess.run(command, capture_output=True, text=True, check=False)
    assert found.returncode == 0, found.stderr
    assert finished_run.name in found.stdout


def test_help_imports_nothing_heavy():
    """It appears at once: neither torch nor numpy is imported for it."""
    code = (
        "import sys; from mocoop.cli.main import main; main(['--help']); "
        "sys.exit(bool({'torch', 'numpy', 'streamlit'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    ("option", "words"),
    [
        (["--shots", "many"], "expected a whole number such as 16, or all; got 'many'"),
        (["--epochs", "many"], "expected a whole number such as 16, got 'many'"),
        (["--learning-rate", "fast"], "expected a number such as 0.1, got 'fast'"),
    ],
)
def test_numbers_are_asked_for_in_words(capsys, option, words):
    with pytest.raises(SystemExit):
        main(["train", *option])
    assert words in " ".join(capsys.readouterr().err.replace("│", " ").split())


def test_help_of_train_is_without_noise(capsys):
    with pytest.raises(SystemExit):
        main(["train", "--help"])
    text = capsys.readouterr().out
    assert "None" not in text
    assert "--run PATH" in text
    assert "prograd" in text


def test_results_go_into_folders_that_are_there(tmp_path):
    """Folders are never made on the way to a file; a new folder may be the last of its path."""
    check_file("--csv", None)
    check_file("--csv", tmp_path / "a.csv")
    check_folder("--out", tmp_path / "new")
    for check in (check_file, check_folder):
        with pytest.raises(ValueError, match=r"--out .*none.* does not exist\. Check the path"):
            check("--out", tmp_path / "none" / "a")
    with pytest.raises(ValueError, match="expected a file, got the folder"):
        check_file("--csv", tmp_path)
    (tmp_path / "file").touch()
    with pytest.raises(ValueError, match="expected a folder, got the file"):
        check_folder("--out", tmp_path / "file")


@pytest.mark.parametrize(
    "arguments",
    [
        ["pack", "RUN", "--out", "GONE/run.zip"],
        ["export", "RUN", "--out", "GONE/more/classifier"],
        ["data", "show", "details", "--sheet", "GONE/details.png"],
        ["protocol", "few-shot", "--latex", "GONE/a.tex"],
        ["ablation", "--markdown", "GONE/a.md"],
        ["results", "--out", "GONE/RESULTS.md"],
        ["lab-grid", "--out", "GONE/more/lab"],
    ],
)
def test_no_command_makes_folders_unasked(capsys, finished_run, tmp_path, arguments):
    gone = tmp_path / "gone"
    named = [a.replace("GONE", str(gone)).replace("RUN", finished_run.name, a == "RUN")
             for a in arguments]  # fmt: skip
    code, _, err = run(capsys, *named)
    assert code == 2
    assert "does not exist" in err
    assert not gone.exists()


def test_a_finished_run_has_nothing_to_resume(capsys, finished_run):
    code, out, _ = run(capsys, "resume", finished_run.name)
    assert code == 0
    assert f"Run {finished_run.name} is finished already: there is nothing to resume." in out
    assert f"mocoop evaluate {finished_run.name}" in out
    code, out, _ = run(capsys, "resume", finished_run.name, "--json")
    assert json.loads(out)["results"] == finished_run.results()


def test_results_of_earlier_versions_are_printed(capsys):
    """They may lack all measures but the accuracy (`PartResult`)."""
    print_results({"all": {"accuracy": 50.0, "num_images": 4}})
    assert capsys.readouterr().out == "all: 50.00 % of 4 test images\n"


def test_predict_takes_folders_and_goes_past_broken_files(capsys, finished_run, tmp_path):
    """Images of a folder come sorted; a broken one is told and makes the exit code 2."""
    add_files(tmp_path / "pictures", "b.png", "a.png", "more/c.png")
    (tmp_path / "pictures" / "aa.jpg").write_text("not an image")
    (tmp_path / "pictures" / "words.txt").write_text("not looked at")
    code, out, err = run(capsys, "predict", finished_run.name, tmp_path / "pictures", "--json")
    assert code == 2
    found = json.loads(out)
    names = [answer["image"].removeprefix(f"{tmp_path}/pictures/") for answer in found["images"]]
    assert names == ["a.png", "b.png", "more/c.png"]
    assert list(found["unreadable"]) == [str(tmp_path / "pictures" / "aa.jpg")]
    assert "aa.jpg: this file is not a readable image" in err
    assert "1 of 4 images could not be read" in err
    picture = tmp_path / "pictures" / "a.png"
    code, out, err = run(capsys, "predict", finished_run.name, tmp_path / "x.png", picture)
    assert code == 2
    assert f"{picture}: " in out
    assert "x.png: no such file" in err
    (tmp_path / "empty").mkdir()
    code, _, err = run(capsys, "predict", finished_run.name, tmp_path / "empty")
    assert code == 2
    assert "holds no image" in err


def test_a_stopped_training_says_how_to_go_on(capsys, workspace, monkeypatch):
    """With the epoch that was saved, or that nothing was; a finished one says the next step."""
    from mocoop.training.experiment import run_experiment

    config = replace(preset("coop"), data="details", shots=1, epochs=2)

    def stopping(epochs):
        def training(config, path, **others):
            for record in run_experiment(config, path):
                if record.epoch == epochs:
                    raise KeyboardInterrupt
                yield record

        return training

    for epochs, name in ((1, "early"), (2, "late")):
        monkeypatch.setattr("mocoop.training.experiment.run_experiment", stopping(epochs))
        path = workspace / "runs" / name
        with pytest.raises(KeyboardInterrupt) as stop:
            commands.train(TrainCommand(config, path))
        expected = f"stopped after epoch 2; continue with: mocoop resume {name}"
        early = "stopped before the first epoch was saved, so this run cannot be resumed"
        assert str(stop.value) == (expected if epochs == 2 else early)
    capsys.readouterr()
    code, out, _ = run(capsys, "resume", "late")
    assert code == 0
    assert out.splitlines()[-1].startswith("for more: mocoop evaluate late")


def test_what_ctrl_c_prints(capsys, monkeypatch):
    def stop(words):
        raise KeyboardInterrupt(*words)

    for words, text in (([], "mocoop: stopped"), (["stopped after epoch 3"], "after epoch 3")):
        monkeypatch.setattr("mocoop.catalog.inventory.inventory", lambda root, w=words: stop(w))
        code, _, err = run(capsys, "data", "list")
        assert code == 130
        assert text in err


def test_runs_are_named_as_short_as_they_are_found(workspace, tmp_path):
    assert short_name(workspace / "runs" / "mine") == "mine"
    assert short_name(tmp_path / "my run") == f"'{tmp_path / 'my run'}'"


def test_a_run_is_found_though_a_folder_has_its_name(tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    mine = queue_run(tmp_path / "runs" / "mine")
    (tmp_path / "here" / "mine").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    assert find_run("mine") == mine.path
    monkeypatch.chdir(mine.path)
    assert find_run(".") == find_run("./") == mine.path
    assert Run(Path()).name == "mine"
    assert short_name(Path()) == "mine"
    code, _, err = run(capsys, "evaluate", "")
    assert (code, "No run ''" in err) == (2, True)
    (mine.path / "status.json").unlink()
    with pytest.raises(UserError, match="is not a complete run"):
        find_run(".")


def test_no_bar_where_nothing_is_done(capsys):
    with progress_bar(True, "opening images"):
        pass
    assert capsys.readouterr().err == ""
    with progress_bar(True, "opening images") as progress:
        progress(1, 2)
        shown = capsys.readouterr().err
        assert "opening images" in shown
        assert "0image" not in shown
        progress(2, 2)  # that bar goes, and another one comes
        progress(3, 4)
        assert "/4" in capsys.readouterr().err


def test_training_shows_how_far_the_images_are_and_what_the_untrained_prompt_has(
    capsys, workspace, tmp_path, monkeypatch
):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path))
    options = ["train", "--data", "details", "--method", "coop", "--shots", "1", "--epochs", "1"]
    code, out, err = run(capsys, *options, "--run", tmp_path / "run")
    assert code == 0
    assert re.search(r"encoding images: +\d+%.*/576", err)
    assert re.search(r"all: [\d.]+ % of 576 test images \(zero-shot: [\d.]+ %\)", out)
    assert "instead of" not in out


def test_sizes_and_long_texts():
    assert [size_text(n) for n in (5, 43_210, 1_234_567)] == ["1 kB", "43 kB", "1.2 MB"]
    assert shorten("abc", 3) == "abc"
    assert shorten("abc de", 5) == "abc…"


def test_a_long_message_stays_on_its_line(capsys):
    row = {"run": "mine", "state": "failed", "epoch": 1, "epochs": 2}
    row |= dict.fromkeys(("all", "base", "new", "harmonic_mean"))
    print_runs([row | {"message": "word \n" * 40}])
    heading, line = capsys.readouterr().out.splitlines()
    assert heading.startswith("run ")
    assert line.endswith("…")
    assert len(line) <= 120


def report(**changes):
    """Returns a report of two classes."""
    counts = {name: {"train": 1, "val": 0, "test": 0} for name in ("cat", "dog")}
    made = Report("pets", (), (Counted("classes", 2, None),), counts, (), {}, ())
    return replace(made, **changes)


def test_a_check_says_nothing_twice(capsys):
    """Equal classes have no fewest and most, and a reason does not repeat its path."""
    _print_report(report())
    out = capsys.readouterr().out
    assert "every class has 1 image\n" in out
    assert "fewest" not in out
    broken = {"cat/1.png": "/data/pets/cat/1.png: the file is empty."}
    per_class = {"cat": {"train": 1}, "dog": {"train": 2}}
    _print_report(report(unreadable=broken, per_class=per_class))
    out = capsys.readouterr().out
    assert "fewest images: cat (1 train)" in out
    assert "most images: dog (2 train)" in out
    assert "    cat/1.png: the file is empty." in out
    assert "/data/pets" not in out


def test_protocols_print_accuracy_alone_unless_asked(capsys, workspace, tmp_path):
    arguments = ["protocol", "few-shot", "--data", "details", "--methods", "zero-shot"]
    arguments += ["--seeds", "1", "--shots", "1", "--root", tmp_path]
    assert "alibration" not in run(capsys, *arguments)[1]
    assert "alibration" in run(capsys, *arguments, "--measures")[1]
