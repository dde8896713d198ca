"""The command `mocoop data templates`: makes templates, checks them and groups them."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import tyro

from mocoop.cli.console import counted, print_json, progress_bar, shorten
from mocoop.cli.groups import DataOptions, SetName, check_writable, warn_of_demo, write_groups
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_file, check_folder
from mocoop.errors import UserError
from mocoop.template_making.endpoint import check_address, check_client

if TYPE_CHECKING:
    from mocoop.template_making.calls import Call
    from mocoop.template_making.candidates import Candidate
    from mocoop.template_making.making import GroupingSettings, Made, TemplateMaker

_SHOWN = 5  # refused candidates that are printed with their reason
_EXPECTED = 250  # candidates of a chat model with the usual number of answers


@dataclass(frozen=True)
class MakeTemplates(DataOptions):
    """Make templates for a data set, check them on its training images, and group them.

    Without a model, a built-in grammar writes several hundred candidates. With --model, a chat
    model behind any endpoint of OpenAI's protocol writes them (a hosted one, ollama, llama.cpp,
    vLLM); it is sent --about and ten class names, never images. This needs: pip install
    "mocoop[templates]". The key is the variable MOCOOP_CHAT_KEY or OPENAI_API_KEY.

    Examples:
        mocoop data templates details --out details.json
        mocoop data templates ~/pets --model llama3.2 --url http://localhost:11434/v1
        mocoop train --data details --method mocoop --templates details.json
    """

    name: SetName = ""
    """Built-in or benchmark set, folder of images, or table (CSV, TSV, Parquet)."""
    about: str = ""
    """What the data set shows, in a sentence, such as "photos of cats and dogs at home"."""
    model: str = ""
    """Name of the chat model; by default none is asked."""
    url: str = ""
    """Address of the endpoint, such as http://localhost:11434/v1; by default OPENAI_BASE_URL or
    OpenAI's own."""
    samples: int = 3
    """With --model: answers per factor (medium, quality, viewpoint and so on)."""
    seconds: float = 120.0
    """With --model: how long one answer may take."""
    replay: MaybePath = None
    """File of made templates whose stored answers are used again instead of asking a model."""
    given: Annotated[
        Path | None, tyro.conf.arg(name="from", metavar="PATH", help_behavior_hint="")
    ] = None
    """Text file with a template of your own per line, instead of the grammar."""
    backbone: str = "demo"
    """The CLIP that checks and groups: `demo`, an open_clip NAME/TAG, or a local checkpoint
    folder."""
    seed: int = 1
    """Seed of the few-shot images, the questions and the groups."""
    shots: int = 16
    """Training images per class on which templates are tried."""
    classes: Literal["all", "base"] = "all"
    """Classes that are used; base for a base-to-new comparison."""
    method: Literal["images", "kmeans", "linkage"] = "images"
    """By the training images that they help; or by their texts, with spherical k-means or average
    linkage, whose groups differ more in size."""
    count: int = 0
    """Number of groups; 0 chooses among 3 to 8."""
    rule: Literal["silhouette", "validation"] = "silhouette"
    """What chooses the number of groups that are made by texts: the silhouette and then the
    accuracy on validation images, or this accuracy alone."""
    out: MaybePath = None
    """JSON file for the groups, every candidate and every answer; by default NAME-templates.json
    with --model, else none."""
    controls: MaybePath = None
    """Folder for groups to compare with: one group, random groups, random words, hand-made."""
    write: bool = False
    """Write two or more groups to mocoop.yaml in the data set's folder, which then uses them."""
    replace: bool = False
    """Like --write, but replace existing groups. The old file is kept as mocoop.yaml.bak."""


def make(command: MakeTemplates) -> None:
    """Makes templates, prints their groups, and writes what was asked for.

    Raises:
        UserError: for options that do not fit, data or candidates that are not valid, or a model
            that cannot be asked.
    """
    _check_options(command)
    out = _output(command)
    from mocoop.datasets import load_dataset

    dataset = load_dataset(command.name, command.root)
    if command.write or command.replace:
        check_writable(dataset, command.replace)
    about, calls, candidates = _candidates(command)
    from mocoop.clip.backbone import load_backbone
    from mocoop.features.cache import FeatureCache
    from mocoop.template_making.making import GroupingSettings, TemplateMaker
    from mocoop.template_making.record import record

    settings = GroupingSettings(
        command.seed, command.shots, command.classes, command.method, command.count, command.rule
    )
    backbone = load_backbone(command.backbone, "auto")
    warn_of_demo(backbone, dataset)
    with progress_bar(not command.json, "encoding images") as images:
        cache = FeatureCache(backbone, progress=images)
        expected = len(candidates) or _EXPECTED
        maker = TemplateMaker(backbone, dataset, cache, settings, expected)
        if command.model:
            calls, candidates = _ask(command, maker)
        with progress_bar(not command.json, "encoding templates", "template") as texts:
            made = maker.group(maker.judge(candidates, texts), texts)
    source = "model" if command.model else "replay" if calls else "file" if command.given else ""
    document = record(made, dataset.name, about, backbone, settings, source or "grammar", calls)
    _write_files(command, out, document, made)
    if command.json:
        print_json(document)
    else:
        _print(made, settings, out)
    if (command.write or command.replace) and len(made.groups) > 1:
        write_groups(dataset, made.groups, quiet=command.json)


def _check_options(command: MakeTemplates) -> None:
    """Raises UserError for options that contradict each other, before anything slow."""
    sources = {"--model": command.model, "--replay": command.replay, "--from": command.given}
    used = [name for name, value in sources.items() if value]
    if len(used) > 1:
        raise UserError(f"{' and '.join(used)} exclude each other: expected one of them.")
    if command.url and not command.model:
        raise UserError(
            f"--url {command.url} is given without a model. Name one with --model, as the "
            "endpoint calls it."
        )
    check_address(command.url, "--url")
    if command.samples < 1:
        raise UserError(f"--samples must be at least 1; got {command.samples}.")
    if not 0 < command.seconds < float("inf"):
        raise UserError(f"--seconds must be greater than 0; got {command.seconds:g}.")
    if command.model:
        check_client()
    _check_used(command)
    check_folder("--controls", command.controls)


def _check_used(command: MakeTemplates) -> None:
    """Raises UserError for an option that has no effect beside the others."""
    for name in ("samples", "seconds"):
        if not command.model and getattr(command, name) != getattr(MakeTemplates, name):
            raise UserError(f"--{name} goes with --model. Name a model, or leave it out.")
    if command.rule == MakeTemplates.rule:
        return
    if command.method == "images":
        raise UserError(
            "--rule goes with groups that are made by texts. Choose --method kmeans or linkage, "
            "or leave it out."
        )
    if command.count:
        raise UserError("--count gives what --rule would choose: leave one of them out.")


def _output(command: MakeTemplates) -> Path | None:
    """Returns the file for the result; None if there is none.

    Raises:
        UserError: if it cannot be written, or would overwrite answers of a model.
    """
    out = command.out
    if out is None and command.model:
        out = Path(f"{Path(command.name).expanduser().resolve().name}-templates.json")
    check_file("--out", out)
    own = command.replay is not None and out is not None and command.replay.exists()
    if out is not None and out.exists() and not (own and out.samefile(command.replay or out)):
        import json

        try:
            holds = json.loads(out.read_text(encoding="utf-8"))["calls"]
        except (OSError, ValueError, TypeError, KeyError):
            holds = ()
        if holds:
            raise UserError(
                f"{out} has answers of a model, which would be lost. Name another file with "
                f"--out, or use them again with --replay {out}."
            )
    return out


def _candidates(
    command: MakeTemplates,
) -> tuple[str, tuple[Call, ...], tuple[Candidate, ...]]:
    """Returns the description, stored calls, and the candidates; none yet with a model."""
    from mocoop.template_making.calls import candidates_of, check_any
    from mocoop.template_making.candidates import given_templates
    from mocoop.template_making.grammar import grammar_templates

    if command.model:
        return command.about, (), ()
    if command.replay is not None:
        from mocoop.template_making.record import read_calls

        calls, about = read_calls(command.replay)
        candidates = candidates_of(calls)
        check_any(calls, candidates)
        return command.about or about, calls, candidates
    if command.given is not None:
        try:
            text = command.given.read_text(encoding="utf-8-sig")
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"--from {command.given} cannot be read: {error}.") from error
        return command.about, (), given_templates(text.splitlines())
    return command.about, (), grammar_templates(command.about)


def _ask(
    command: MakeTemplates, maker: TemplateMaker
) -> tuple[tuple[Call, ...], tuple[Candidate, ...]]:
    """Returns the calls of the chat model and the candidates in its answers."""
    from mocoop.template_making.asking import Wish, ask_for_templates
    from mocoop.template_making.calls import candidates_of, check_any
    from mocoop.template_making.chat import ChatModel

    model = ChatModel(command.model, command.url, command.seconds)
    wish = Wish(command.about, samples=command.samples, seed=command.seed)
    with progress_bar(not command.json, f"asking {command.model}", "answer") as progress:
        calls = ask_for_templates(model, wish, maker.class_names, maker.judge, progress)
    candidates = candidates_of(calls)
    check_any(calls, candidates)
    return calls, candidates


def _write_files(
    command: MakeTemplates, out: Path | None, document: dict[str, Any], made: Made
) -> None:
    """Writes the JSON file and the files of the controls."""
    from mocoop.storage.atomic import write_json, write_text
    from mocoop.storage.yaml_text import as_yaml

    if out is not None:
        write_json(out, document)
    if command.controls is not None:
        for name, control in made.controls.items():
            groups = {group: list(templates) for group, templates in control.groups.items()}
            write_text(command.controls / f"{name}.yaml", as_yaml(groups))


def _print(made: Made, settings: GroupingSettings, out: Path | None) -> None:
    """Prints what was refused, how it was grouped, and the groups as YAML."""
    from mocoop.storage.yaml_text import as_yaml
    from mocoop.template_making.record import refusals

    refused = [one for one in made.judged if not one.kept]
    left = sum(one.in_no_group for one in made.judged)
    grouped = len(made.judged) - len(refused) - left
    print(
        f"# {counted(len(made.judged), 'candidate')}: {grouped} in groups, {left} in no group, "
        f"{len(refused)} refused"
    )
    for reason, count in refusals(made.judged).items():
        print(f"#   {count} {reason}")
    for one in refused[:_SHOWN]:
        print(f"#   {shorten(one.template, 60)!r}: {one.reason}")
    others = sum(one.other_language for one in made.judged if one.kept)
    if others:
        print(f"# {counted(others, 'template')} in another language than English, it seems")
    best = made.chosen.best
    print(
        f"# {counted(len(made.groups), 'group')} by {made.method}: {made.chosen.why} (silhouette "
        f"{best.silhouette:.2f}, stability {best.stability:.2f})"
    )
    if made.validation is not None:
        print("# validation accuracy without training, two groups per image:")
        print(f"#   {made.validation:6.2f} % these groups")
        for name, control in made.controls.items():
            print(f"#   {control.validation:6.2f} % {name}")
    for remark in made.remarks:
        print(f"# note: {remark}")
    print(as_yaml({"groups": {name: list(some) for name, some in made.groups.items()}}), end="")
    if out is not None:
        print(f"# written to {out}")
