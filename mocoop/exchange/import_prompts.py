"""Makes a run of prompts that another program trained: settings, weights, tests."""

from __future__ import annotations

import shutil
import warnings
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from mocoop.clip.backbone import Backbone, choose_device, load_backbone
from mocoop.config import NamePosition, TrainConfig
from mocoop.datasets import Dataset, load_dataset
from mocoop.errors import UserError, UserNote
from mocoop.exchange.class_check import check_same_clip, same_classes
from mocoop.exchange.coop_files import CONDITIONAL, EXPERTS, ONE, CoOpFile, Kind, read_coop_file
from mocoop.features.cache import Progress
from mocoop.methods import METHODS
from mocoop.model.soft_prompts import STOP
from mocoop.presets import preset
from mocoop.prompt_encoder.tokens import TokenTable
from mocoop.runs.paths import default_runs
from mocoop.runs.reserve import reserve
from mocoop.runs.run import Run, new_run_path
from mocoop.runs.writer import queue_run
from mocoop.templates import END, SLOT, Groups
from mocoop.training.experiment import run_experiment
from mocoop.training.imported import Imported

_METHOD: dict[Kind, str] = {ONE: "coop", CONDITIONAL: "cocoop", EXPERTS: "mocoop"}
_WITH_NORMS = "mocoop-ln"
Placed = tuple[TrainConfig, dict[str, Tensor], list[tuple[str, int]]]
"""Settings, weights, and each expert's template with the number of its first tokens that are
learned: the file holds the others."""


def import_prompts(
    file: Path,
    config: TrainConfig,
    path: Path | None = None,
    position: NamePosition = "end",
    dataset: Dataset | None = None,
    backbone: Backbone | None = None,
    encoding: Progress | None = None,
) -> Run:
    """Returns the run of a checkpoint's prompts, tested on the data set's test images.

    Args:
        file: a checkpoint of CoOp, CoCoOp or the authors' MoCoOp.
        config: data, backbone, shots, seed, device, and for a mixture the groups of templates;
            the other settings follow from the file.
        path: the new run's folder; None gives it a new name among the other runs.
        position: where the class name stands in CoOp's context; the file does not say it.
        dataset: the data; if None they are loaded by the name in the settings.
        backbone: the CLIP; if None it is loaded by the name in the settings.
        encoding: called with the numbers of encoded images and of all images, while images are
            encoded.

    Raises:
        UserError: for a file that cannot be read, or does not fit the CLIP, the classes or the
            templates.
    """
    found = read_coop_file(file)
    dataset = dataset or load_dataset(config.data)
    backbone = backbone or load_backbone(config.backbone, choose_device(config.device))
    tower = backbone.text
    check_same_clip(found, tower.tokens, tower.width, backbone.name)
    tuned = changed_norms(found, backbone)
    method = _WITH_NORMS if tuned else _METHOD[found.kind]
    own = {name: getattr(config, name) for name in ("data", "backbone", "shots", "seed", "device")}
    config = replace(preset(method, config.backbone), groups=config.groups, epochs=0, **own)
    if found.kind == EXPERTS:
        groups = config.groups or dataset.templates.groups
        config, weights, endings = _placed_mixture(found, config, groups, tower.tokens)
    else:
        config, weights, endings = _placed_prompt(found, config, position)
    weights |= {f"norms.values.{name.replace('.', '/')}": v for name, v in tuned.items()}
    trained = same_classes(found, tower.tokens, dataset.class_names, endings)
    config = _with_classes(found, config, dataset, trained)
    _check_sizes(found, tower.dim)
    imported = Imported(f"{file.name}, {found.epoch} epochs", weights | dict(found.others))
    path, fresh = _own_folder(config, path)
    try:
        for _ in run_experiment(config, path, None, encoding, dataset, backbone, imported):
            pass
    except BaseException:
        if fresh:  # it could not be continued
            shutil.rmtree(path, ignore_errors=True)
        raise
    return Run(path)


def _own_folder(config: TrainConfig, path: Path | None) -> tuple[Path, bool]:
    """Returns the folder of the new run, and whether it was made here, for this process alone.

    Without a path, two imports at once would otherwise choose the same name, and the one that
    came too late would remove the run of the other.
    """
    if path is not None:
        try:
            return queue_run(path).path, True
        except FileExistsError:
            return path, False
    run = reserve(runs := default_runs(), lambda: new_run_path(config, runs))
    assert run is not None  # a path is chosen in any case
    return run.path, True


def changed_norms(file: CoOpFile, backbone: Backbone) -> dict[str, Tensor]:
    """Returns the LayerNorms of a checkpoint that has trained them; none if they are the CLIP's.

    Raises:
        UserError: if the file's image tower has other LayerNorms than the CLIP has.
    """
    own = dict(backbone.model.visual.named_parameters())
    if any(name not in own or own[name].shape != v.shape for name, v in file.norms.items()):
        raise UserError(
            f"The checkpoint has another image tower than {backbone.name}. Choose the CLIP that "
            "it was trained with by --backbone."
        )
    same = all(
        torch.allclose(own[name].cpu().float(), value, atol=1e-6)
        for name, value in file.norms.items()
    )
    return {} if same else dict(file.norms)


def _placed_prompt(file: CoOpFile, config: TrainConfig, position: NamePosition) -> Placed:
    """Returns settings and weights of one prompt, with the context around the name."""
    (context,) = file.before
    tokens = context.shape[-2]
    if position != "end" and METHODS[config.method].settings.get("conditional"):
        raise UserError("CoCoOp's context stands before the name: expected --position end.")
    if position == "middle" and tokens < 2:
        raise UserError("The context has one token: it cannot stand on both sides of the name.")
    config = replace(
        config,
        context_init="random",
        context_tokens=tokens,
        name_position=position,
        class_context=file.own_classes > 0,
    )
    split = {"end": tokens, "middle": tokens // 2, "front": 0}[position]
    weights = {
        "prompts.before.0": context[..., :split, :].clone(),
        "prompts.after.0": context[..., split:, :].clone(),
    }
    return config, weights, [(SLOT + STOP, 0)]


def _placed_mixture(
    file: CoOpFile, config: TrainConfig, groups: Groups, table: TokenTable
) -> Placed:
    """Returns settings and weights of a mixture.

    The authors' prompts start from each group's first template without its full stop, which is
    then the first template here. Their code counts words where tokens are meant. Where a part
    has fewer words than tokens, its last tokens stayed as they were in CLIP's table, and are put
    there again. Words after a space are one more than their tokens: then [EOS] was trained as
    well, and the first template here ends in it. Other miscounts put tokens elsewhere.
    """
    if len(groups) != len(file.before):
        raise UserError(
            f"The checkpoint has {len(file.before)} experts, and there are {len(groups)} groups "
            "of templates. Give the groups that it was trained with, in their order: --templates "
            "FILE."
        )
    weights, endings, placed = {}, [], {}
    for number, (name, templates) in enumerate(groups.items()):
        first = templates[0].replace(STOP, "")
        left, right = (table.encode(part) for part in first.split(SLOT))
        blocks = [file.before[number], file.after[number]]
        started = first
        if len(first.split(SLOT)[1].split(" ")) == len(right) + 1 == len(blocks[1]):
            # The space counts as a word: [EOS] was learned too, and the text is read there.
            started, right = first + END, [*right, table.end]
        sizes, stored = [len(left), len(right)], [len(block) for block in blocks]
        # None of several tokens learned is another template rather than a word of many tokens.
        pairs = list(zip(stored, sizes, strict=True))
        other = any(own > size or (size and not own) for own, size in pairs)
        if other or (stored[0] < sizes[0] and right):
            raise UserError(
                f"Expert {number + 1} ({name}) has {stored[0]} tokens before and {stored[1]} "
                f"after the name, and {first!r} has {sizes[0]} and {sizes[1]}. Either it was "
                "trained with another template (give the groups with --templates FILE), or the "
                "authors' code, which counts words where tokens are meant, put its tokens "
                "elsewhere. Such an expert cannot be imported exactly."
            )
        for block, side, tokens in zip(blocks, ("before", "after"), (left, right), strict=True):
            rest = table.embed(tokens[len(block) :]).cpu().float()
            weights[f"prompts.{side}.{number}"] = torch.cat([block, rest])
        endings.append((first, stored[0]))
        placed[name] = tuple(dict.fromkeys((started, *templates)))
    return (
        replace(config, groups=placed, correction="correction" in file.others, num_chosen=2),
        weights,
        endings,
    )


def _with_classes(
    file: CoOpFile, config: TrainConfig, dataset: Dataset, trained: int | None
) -> TrainConfig:
    """Returns the settings with the classes that were trained; notes what the file leaves open.

    Raises:
        UserError: for contexts of single classes that are not those of the data set.
    """
    total = len(dataset.class_names)
    if file.own_classes and (file.own_classes != total or trained == 0):
        raise UserError(
            f"Every class has a context of its own in this checkpoint, {file.own_classes} in all, "
            f"and {dataset.name} has {total} classes"
            + (" with other names or in another order" if file.own_classes == total else "")
            + ". Such prompts are for the classes that they were trained with, in their order."
        )
    if trained is not None and 0 < trained == (total + 1) // 2 < total:
        return replace(config, classes="base")
    if trained is None:
        _note("The checkpoint does not say which class names it was trained with.")
    elif trained != total:
        _note(
            f"The checkpoint was trained with other class names than those of {dataset.name}: it "
            "is tested as a transfer to new classes."
        )
    return config


def _check_sizes(file: CoOpFile, dim: int) -> None:
    """Raises UserError for a router, meta-net or correction of another shape."""
    experts, width, hidden = len(file.before), file.before[0].shape[-1], max(1, dim // 16)
    expected = {
        "gate.weight": (experts, dim),
        "gate.bias": (experts,),
        "correction": (dim,),
        "shift.squeeze.weight": (hidden, dim),
        "shift.squeeze.bias": (hidden,),
        "shift.expand.weight": (width, hidden),
        "shift.expand.bias": (width,),
    }
    for name, value in file.others.items():
        shape = tuple(value.shape)
        if shape == expected[name]:
            continue
        if len(shape) == len(expected[name]) and expected[name][-1] == dim != shape[-1]:
            raise UserError(
                f"The checkpoint's {name} is for features of {shape[-1]} numbers, and the "
                f"CLIP gives {dim}. Choose the CLIP that it was trained with by --backbone."
            )
        raise UserError(
            f"The checkpoint's {name} has the shape {shape}, and {expected[name]} fits its "
            "prompts and the CLIP. Choose the CLIP that it was trained with by --backbone."
        )


def _note(text: str) -> None:
    warnings.warn(text, UserNote, stacklevel=4)
