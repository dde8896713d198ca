"""The command backbone: lists, checks, downloads and converts CLIPs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from mocoop.cli.console import print_json, progress_bar, size_text
from mocoop.cli.output_paths import check_folder
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.clip.facts import BackboneFacts
    from mocoop.evaluation.activation import ActivationCheck

SECONDS = 1.0  # for which each speed is measured
ClipName = Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="CLIP")]


@dataclass(frozen=True)
class ListBackbones:
    """List the CLIPs that are known by name: sizes, training data, and where they are here."""

    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class CheckBackbone:
    """Load a CLIP, print its facts, and measure its speed.

    For a file under an architecture that exists with GELU and with QuickGELU it also measures
    which of the two the weights are for. Weights do not say it, they load with both, and with
    the wrong one a CLIP loses accuracy. Drawings of single things are classified with both, each
    by its name in a plain prompt. How well a CLIP knows drawings says little, and only the
    difference counts. The judge is the cross-entropy of the right names, at the logit scale that
    is best for each.

    Examples:
        mocoop backbone check demo
        mocoop backbone check ViT-B-16.pt
        mocoop backbone check weights.safetensors --name ViT-B-32
        mocoop backbone check ViT-B-32/weights.safetensors
    """

    file: ClipName
    """A CLIP as in --backbone: a name, a file or a folder."""
    name: str = ""
    """The architecture of a file, such as ViT-B-32, with or without -quickgelu."""
    device: str = "auto"
    """The torch device: `auto` (a GPU if there is one), `cpu`, `cuda` ..."""
    speed: bool = True
    """Measure images and texts per second."""
    json: bool = False
    """Print the result as one JSON document."""


@dataclass(frozen=True)
class ConvertBackbone:
    """Write a CLIP of any format as a folder: open_clip_config.json and safetensors.

    The folder is read again and must give the same CLIP bit by bit, so that runs go with both.

    Example:
        mocoop backbone convert ViT-B-16.pt my-clip
    """

    file: ClipName
    """A CLIP as in --backbone: a file, a folder, ARCHITECTURE/FILE, or a name."""
    out: Annotated[Path, tyro.conf.Positional, tyro.conf.arg(metavar="OUT")]
    """The new folder."""
    json: bool = False
    """Print one JSON document."""


@dataclass(frozen=True)
class DownloadBackbone:
    """Download a CLIP from the Hugging Face Hub into its cache.

    An interrupted download continues where it stopped.

    Examples:
        mocoop backbone download ViT-B-16-quickgelu/openai
        mocoop backbone download openai/clip-vit-base-patch16
    """

    name: ClipName
    """A name of open_clip's, or hf-hub:OWNER/NAME."""
    json: bool = False
    """Print one JSON document."""


BackboneCommand = Annotated[
    Annotated[ListBackbones, tyro.conf.subcommand("list")]
    | Annotated[CheckBackbone, tyro.conf.subcommand("check")]
    | Annotated[ConvertBackbone, tyro.conf.subcommand("convert")]
    | Annotated[DownloadBackbone, tyro.conf.subcommand("download")],
    None,
]


def backbone(
    command: ListBackbones | CheckBackbone | ConvertBackbone | DownloadBackbone,
) -> None:
    """Runs a subcommand of `mocoop backbone`.

    Raises:
        UserError: for a CLIP that is unknown, missing, damaged or of another architecture.
    """
    match command:
        case ListBackbones():
            _list(command)
        case CheckBackbone():
            _check(command)
        case ConvertBackbone():
            _convert(command)
        case DownloadBackbone():
            _download(command)


def _list(command: ListBackbones) -> None:
    from mocoop.assets import asset
    from mocoop.clip.hub import cached_file
    from mocoop.clip.known import KNOWN_CLIPS, weights_of
    from mocoop.config import DEMO

    rows: list[dict[str, Any]] = [
        {"name": DEMO, "bytes": None, "file": str(asset("demo-clip")), "data": "the drawn world"}
    ]
    for known in KNOWN_CLIPS.values():
        weights = weights_of(known.name)
        file = None if weights is None else cached_file(weights)
        rows.append(
            {
                "name": known.name,
                "bytes": known.bytes,
                "file": None if file is None else str(file),
                "data": known.data,
                "image_size": known.image_size,
                "licence": known.licence or None,
            }
        )
    if command.json:
        print_json(rows)
        return
    for row in rows:
        size = "" if row["bytes"] is None else size_text(row["bytes"])
        print(f"{row['name']:<38} {size:>9}  {row['data']}")
        here = f"on this machine: {row['file']}" if row["file"] else "not on this machine"
        print(f"{'':<38} {'':>9}  {here}")


def _check(command: CheckBackbone) -> None:
    from mocoop.clip.facts import facts_of
    from mocoop.clip.names import DEMO, WeightsOf, find_source
    from mocoop.evaluation.activation import check_activation, has_twin, split_name

    name = f"{command.name}/{command.file}" if command.name else command.file
    source = None if name == DEMO else find_source(name)
    facts = facts_of(name, command.device, SECONDS if command.speed else 0.0)
    if not command.json:
        _print_facts(facts)
    asked = isinstance(source, WeightsOf) and source.architecture
    if not asked or facts.layout == "OpenAI":
        if command.json:
            print_json(asdict(facts) | {"backbone": name})
        else:
            print(f"load it with: --backbone {name}")
        return
    architecture, file = split_name(command.file, command.name)
    if not has_twin(architecture):
        if command.json:
            print_json(asdict(facts) | {"verdict": "only one", "backbone": name})
        else:
            print("open_clip has this architecture with one activation only: nothing to choose.")
            print(f"load it with: --backbone {name}")
        return
    with progress_bar(not command.json, "classifying pictures") as progress:
        check = check_activation(architecture, file, command.device, progress)
    names = {"GELU": f"{architecture}/{file}", "QuickGELU": f"{architecture}-quickgelu/{file}"}
    if command.json:
        known = names.get(check.better)
        verdict = check.better or "can't tell"
        print_json(asdict(facts) | asdict(check) | {"verdict": verdict, "backbone": known})
    else:
        _print_check(check, names)


def _print_facts(facts: BackboneFacts) -> None:
    activation = "QuickGELU" if facts.quick_gelu else "GELU"
    print(f"{facts.name}: weights in the form of {facts.layout}, {size_text(facts.bytes)}")
    for file in facts.files:
        print(f"  {file}")
    print(
        f"  {facts.parameters:,} parameters, pictures of {facts.image_size} px, texts of "
        f"{facts.context_length} tokens, {facts.dim} features, {activation}"
    )
    print(f"  prompts: {facts.soft_prompts}; fingerprint {facts.fingerprint}")
    if facts.images_per_second:
        print(
            f"  {facts.images_per_second:.1f} images a second, {facts.texts_per_second:.1f} texts "
            "a second"
        )


def _print_check(check: ActivationCheck, names: dict[str, str]) -> None:
    print(f"{check.pictures} drawings of {check.classes} things, zero-shot:")
    for activation, found in (("GELU", check.gelu), ("QuickGELU", check.quick_gelu)):
        entropy = f"cross-entropy {found.cross_entropy:.4f}"
        print(f"  {activation:<9}  {entropy}, accuracy {found.accuracy:.2f} %")
    print(_verdict(check))
    for activation, name in names.items():
        if check.better in ("", activation):
            prefix = "load it with" if check.better else f"with {activation}"
            print(f"{prefix}: --backbone {name}")


def _verdict(check: ActivationCheck) -> str:
    """Returns the verdict in words, with its margin."""
    gap = f"{abs(check.gain):.4f}"
    margin = f"margin: {check.margin:.4f}, three standard errors over classes"
    if check.better:
        return f"looks like {check.better}: its cross-entropy is lower by {gap} ({margin})"
    return (
        f"can't tell: the cross-entropies differ by {gap} only ({margin}). Ask where the weights "
        "are from: OpenAI's are for QuickGELU, LAION-2B's and DataComp's for GELU."
    )


def _convert(command: ConvertBackbone) -> None:
    check_folder("OUT", command.out)
    from mocoop.clip.convert import convert_backbone

    fingerprint = convert_backbone(command.file, command.out)
    if command.json:
        print_json({"folder": str(command.out), "fingerprint": fingerprint})
    else:
        print(f"written, read again and equal: {command.out} (fingerprint {fingerprint})")
        print(f"load it with: --backbone {command.out}")


def _download(command: DownloadBackbone) -> None:
    from mocoop.clip.hub import cached_file, download
    from mocoop.clip.known import weights_of
    from mocoop.clip.names import DEMO, find_source

    if command.name != DEMO:
        find_source(command.name)  # reports a wrong name
    weights = weights_of(command.name)
    if weights is None:
        raise UserError(
            f"{command.name} is not on the hub: there is nothing to download. Expected a name of "
            "`mocoop backbone list`, or hf-hub:OWNER/NAME."
        )
    file = cached_file(weights)
    if file is None:
        with progress_bar(not command.json, "downloading", unit="B") as progress:
            file = download(weights, progress)
    if command.json:
        print_json({"name": command.name, "file": str(file), "bytes": file.stat().st_size})
    else:
        print(f"{file}: {size_text(file.stat().st_size)}")
