"""The command line: finds the command, reads its options, runs it and reports errors."""

from __future__ import annotations

import argparse
import inspect
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import tyro

from mocoop.cli import (
    archive,
    backbone,
    bench,
    data,
    documents,
    exchange,
    federated,
    federated_table,
    lab_grid,
    predict,
    protocols,
    push,
    results,
    runs,
    serve,
    sweep,
    train,
)
from mocoop.cli.option_types import number_words
from mocoop.config import TrainConfig
from mocoop.errors import UserError, choose_from, notes_in_words
from mocoop.older import FIRST
from mocoop.presets import preset, settings_from, settings_of_run
from mocoop.runs.formats import FORMAT
from mocoop.storage.atomic import DISK_FULL, NOT_WRITABLE, why_not_written
from mocoop.storage.formats import check_format
from mocoop.storage.typed_json import decode

USAGE = """usage: mocoop COMMAND [options]

Mixtures of soft prompts for CLIP: train them with a few images per class, evaluate them,
and see which expert the router chooses for an image.

  train      train a run            mocoop train --data albums --method mocoop --shots 16
  resume     continue a run         mocoop resume RUN
  evaluate   test a finished run    mocoop evaluate RUN --classes all
  predict    classify images        mocoop predict RUN photo.jpg folder
  runs       list the runs          mocoop runs
  report     a page about runs      mocoop report RUN OTHER --out report.html
  notebook   a notebook of a run    mocoop notebook RUN --out run.ipynb
  pack       write a run as a zip   mocoop pack RUN --out run.zip
  unpack     read a run from a zip  mocoop unpack run.zip
  protocol   compare many runs      mocoop protocol few-shot --data details faces
  ablation   change one part        mocoop ablation --data details
  tune       compare settings       mocoop tune mocoop --grid learning_rate=0.2,0.5
  sweep      search settings        mocoop sweep sweep.yaml --workers 2
  results    make the results page  mocoop results --workers 2
  lab-grid   train the runs of the app's overfitting lab (about 35 minutes on a core)
  federated  clients train together  mocoop federated --data albums --strategy mocoop
  federated-table  compare federations  mocoop federated-table --data albums
  export     write a classifier     mocoop export RUN --out my-classifier
  push       upload a classifier    mocoop push RUN my-name/my-classifier
  serve      answer over HTTP       mocoop serve RUN
  import     prompts of CoOp's code mocoop import model.pth.tar-50 --data dtd --backbone CLIP
  bench      measure the speed      mocoop bench --quick
  data       list, check, download  mocoop data list
  backbone   list, check, convert   mocoop backbone check weights.safetensors --name ViT-B-32
  demo-clip  train the small CLIP that the built-in demo uses (below 3.5 hours on 2 cores)

`mocoop COMMAND --help` explains every option. The built-in data sets and the built-in CLIP
need no download. To start the app: streamlit run streamlit_app.py
"""

COMMANDS: dict[str, tuple[Any, Any]] = {
    "train": (train.TrainCommand, train.train),
    "resume": (train.ResumeCommand, train.resume),
    "evaluate": (runs.EvaluateCommand, runs.evaluate),
    "predict": (predict.PredictCommand, predict.predict),
    "runs": (runs.RunsCommand, runs.runs),
    "report": (documents.ReportCommand, documents.report),
    "notebook": (documents.NotebookCommand, documents.notebook),
    "pack": (archive.PackCommand, archive.pack),
    "unpack": (archive.UnpackCommand, archive.unpack),
    "protocol": (protocols.ProtocolCommand, protocols.protocol),
    "ablation": (protocols.AblationCommand, protocols.ablation),
    "tune": (protocols.TuneCommand, protocols.tune),
    "sweep": (sweep.SweepCommand, sweep.sweep),
    "results": (results.ResultsCommand, results.results),
    "lab-grid": (lab_grid.LabGridCommand, lab_grid.lab_grid),
    "federated": (federated.FederatedCommand, federated.federated),
    "federated-table": (
        federated_table.FederatedTableCommand,
        federated_table.federated_table,
    ),
    "export": (archive.ExportCommand, archive.export),
    "push": (push.PushCommand, push.push),
    "serve": (serve.ServeCommand, serve.serve),
    "import": (exchange.ImportCommand, exchange.import_run),
    "bench": (bench.BenchCommand, bench.bench),
    "data": (data.DataCommand, data.data),
    "backbone": (backbone.BackboneCommand, backbone.backbone),
    "demo-clip": (train.DemoClipCommand, train.demo_clip),
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs a command and returns its exit code.

    The code is 0 for success, 2 for an error that the user can correct, and 130 if the command
    was stopped.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    if not arguments or arguments[0] in ("-h", "--help"):
        print(USAGE, end="")
        return 0 if arguments else 2
    name, rest = arguments[0], arguments[1:]
    try:
        if name not in COMMANDS:
            raise choose_from("command", name, tuple(COMMANDS))
        kind, run = COMMANDS[name]
        with notes_in_words():
            run(parse(name, kind, rest))
    except UserError as error:
        print(f"mocoop: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        if isinstance(error, BrokenPipeError):
            # The reader (`head`, a pager) has closed the pipe. Python would report this at exit.
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 0
        if error.errno not in (*DISK_FULL, *NOT_WRITABLE) and error.filename is None:
            raise  # it is about no file that the user could change
        print(f"mocoop: {why_not_written(error)}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as stop:
        print(f"mocoop: {str(stop) or 'stopped'}", file=sys.stderr)
        return 130
    return 0


def parse(name: str, kind: Any, arguments: list[str]) -> Any:
    """Returns a command's options.

    Prints the help and exits for `--help`; prints a usage error and exits for a wrong option.

    Raises:
        UserError: if a settings file, a method or a value is not valid.
    """
    extra: dict[str, Any] = {}
    if kind is train.TrainCommand:
        extra["default"], arguments = _starting_point(arguments)
    several = "Every subcommand has its own --help."
    description = inspect.cleandoc(kind.__doc__ or "") if isinstance(kind, type) else several
    return tyro.cli(
        kind,
        prog=f"mocoop {name}",
        args=arguments,
        description=description,
        registry=number_words(),
        **extra,
    )


def _starting_point(arguments: list[str]) -> tuple[train.TrainCommand, list[str]]:
    """Returns the settings that a run of `train` starts from, and the options still to be read.

    `--config`, `--method`, `--backbone` and `--data` choose these settings, so they are read
    first. The other options then override them, and `--help` shows the defaults of the chosen
    method.
    """
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False, exit_on_error=False)
    parser.add_argument("--config", type=Path)
    for name in ("--method", "--backbone", "--data"):
        parser.add_argument(name, default=argparse.SUPPRESS)
    try:
        first, others = parser.parse_known_args(arguments)
    except argparse.ArgumentError:  # an option without its value: tyro reports it
        return train.TrainCommand(preset("mocoop")), arguments
    chosen = vars(first)
    file = chosen.pop("config")
    if file is None:
        settings = preset(**{"method": "mocoop"} | chosen)
    else:
        settings = replace(_settings_in(file), **chosen)
    return train.TrainCommand(settings, config=file), others


def _settings_in(file: Path) -> TrainConfig:
    """Returns the settings in a JSON file, such as the config.json of a run."""
    try:
        values = decode(file.read_bytes(), Any)
    except (OSError, UserError) as error:
        raise UserError(f"Settings file {file} cannot be read: {error}.") from error
    if not isinstance(values, dict):
        raise UserError(f"Settings file {file}: expected a JSON object of settings.")
    if values.get("imported"):
        raise UserError(
            f"{file} is of a run whose prompts were imported ({values['imported']}): its settings "
            "do not repeat it. Import the file again with `mocoop import`."
        )
    if "config" not in values and "format" not in values:
        return settings_from(values)
    run_format = check_format(values, FORMAT, file, default=FIRST)
    return settings_of_run(values.get("config", {}), run_format)
