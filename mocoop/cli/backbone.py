"""The command backbone: measures which activation the weights in a file were trained with."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from mocoop.cli.console import print_json, progress_bar

if TYPE_CHECKING:
    from mocoop.evaluation.activation import ActivationCheck


@dataclass(frozen=True)
class BackboneCommand:
    """Measure whether the weights in a file are for QuickGELU or for plain GELU.

    Weights do not say it, they load with both, and with the wrong one a CLIP loses accuracy.
    Drawings of single things are classified with both, each by its name in a plain prompt.
    How well a CLIP knows drawings says little, and only the difference counts. The
    judge is the cross-entropy of the right names, at the logit scale that is best for each.

    Examples:
        mocoop backbone check weights.safetensors --name ViT-B-32
        mocoop backbone check ViT-B-32/weights.safetensors
    """

    action: Annotated[Literal["check"], tyro.conf.Positional]
    """check: classify drawings with both activations."""
    file: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FILE")]
    """A .safetensors file, or ARCHITECTURE/FILE as in --backbone."""
    name: str = ""
    """Its architecture, such as ViT-B-32, with or without -quickgelu."""
    device: str = "auto"
    """The torch device: `auto` (a GPU if there is one), `cpu`, `cuda` ..."""
    json: bool = False
    """Print the result as one JSON document."""


def backbone(command: BackboneCommand) -> None:
    """Checks a weights file, and prints how to load it.

    Raises:
        UserError: for an unknown architecture, or a file that is missing or does not fit.
    """
    from mocoop.clip.backbone import load_backbone
    from mocoop.evaluation.activation import check_activation, has_twin, split_name

    architecture, file = split_name(command.file, command.name)
    if not has_twin(architecture):
        name = f"{command.name or architecture}/{file}"
        load_backbone(name, command.device)
        if command.json:
            print_json({"verdict": "only one", "backbone": name})
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
        print_json(asdict(check) | {"verdict": verdict, "backbone": known})
        return
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
