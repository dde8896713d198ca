"""Options that would have no effect are refused; defaults are not."""

from __future__ import annotations

import pytest

from mocoop.cli.main import main, parse
from mocoop.cli.protocols import ProtocolCommand, _check_options
from mocoop.cli.templates import MakeTemplates, _check_used
from mocoop.errors import UserError

PROTOCOL = ("protocol", "few-shot", "--data", "details", "--methods", "zero-shot")
TEMPLATES = ("data", "templates", "details")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((*PROTOCOL, "--targets", "digits"), "--targets goes with domain-generalization: leave"),
        (("protocol", "base-to-new", "--targets", "digits"), "--targets goes with domain-gen"),
        (("protocol", "cross-dataset", "--targets", "digits"), "Give all data sets with --data"),
        ((*PROTOCOL, "--style", "sketch"), "--style goes with domain-generalization"),
        (
            ("protocol", "domain-generalization", "--targets", "digits", "--style", "sketch"),
            "without --targets",
        ),
        (("protocol", "base-to-new", "--measures"), "--measures goes with few-shot"),
        ((*PROTOCOL, "--csv", "OUT", "--markdown", "OUT"), "--csv and --markdown name the same"),
        ((*PROTOCOL, "--cpus", "7"), "--cpus is for --engine ray"),
        ((*PROTOCOL, "--gpus", "0.5"), "--gpus is for --engine ray"),
        ((*PROTOCOL, "--memory", "9"), "--memory is for --engine ray"),
        (("data", "encode", "details", "--cpus", "2"), "--cpus is for --engine ray"),
        (("export", "RUN", "--out", "OUT", "--layout", "coop", "--tower"), "--tower goes with"),
        (("export", "RUN", "--out", "OUT", "--layout", "coop", "--no-onnx"), "--no-onnx goes"),
        ((*TEMPLATES, "--samples", "9"), "--samples goes with --model"),
        ((*TEMPLATES, "--seconds", "1"), "--seconds goes with --model"),
        ((*TEMPLATES, "--rule", "validation"), "--rule goes with groups that are made by texts"),
        (
            (*TEMPLATES, "--rule", "validation", "--method", "kmeans", "--count", "3"),
            "--count gives what --rule would choose",
        ),
    ],
)
def test_an_option_without_effect_is_refused(arguments, message, capsys, finished_run, tmp_path):
    named = {"RUN": str(finished_run.path), "OUT": str(tmp_path / "out")}
    assert main([named.get(argument, argument) for argument in arguments]) == 2
    assert message in capsys.readouterr().err
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ["few-shot", "--measures"],
        ["few-shot", "--style", "photo"],
        ["domain-generalization", "--style", "sketch"],
        ["domain-generalization", "--targets", "digits"],
    ],
)
def test_options_with_an_effect_are_taken(arguments):
    _check_options(parse("protocol", ProtocolCommand, arguments))


def test_options_of_templates_with_an_effect_are_taken():
    _check_used(MakeTemplates(name="details", samples=9, seconds=1.0, model="some"))
    _check_used(MakeTemplates(name="details", rule="validation", method="kmeans"))
    with pytest.raises(UserError, match="--samples"):
        _check_used(MakeTemplates(name="details", samples=9))


def test_the_results_page_is_not_a_csv_file(capsys, tmp_path):
    assert main(["results", "--out", str(tmp_path / "res.csv")]) == 2
    assert "res.md" in capsys.readouterr().err
    (tmp_path / "page.csv").mkdir()
    assert main(["results", "--out", str(tmp_path / "page.md")]) == 2
    assert "expected a file, got the folder" in capsys.readouterr().err
