"""Trains the small CLIP of scenes, in which the words around a name decide what is meant.

Two things make it learn quickly. Every step scores each picture against all names in the words
of every role, not only against the captions of the batch. And the first pictures mostly show a
single thing, from which names are learned before roles are.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from safetensors import safe_open
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError
from mocoop.storage.atomic import read_tensors, write_json, write_tensors
from mocoop.world.clip_captions import StepCaptions, step_captions
from mocoop.world.clip_config import SceneClipConfig
from mocoop.world.clip_evaluation import quick_accuracy
from mocoop.world.clip_losses import (
    any_name_loss,
    matching_loss,
    name_and_role_loss,
    name_given_role_loss,
    style_loss,
)
from mocoop.world.clip_model import WEIGHTS as WEIGHTS_FILE
from mocoop.world.clip_model import TokenBook, build_model, normalised, save_model
from mocoop.world.clip_pictures import NOBODY, Pictures, step_pictures
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import every_thing

SNAPSHOT = "training.safetensors"
NOTE = "training.json"
LOG_EVERY = 10  # steps between two records
# Settings that a training may go on with although they differ.
_FREE = ("device", "workers", "eval_every", "eval_scenes")
WEIGHTS = {"name": 2.0, "pair": 0.5, "any": 0.5, "style": 0.5, "caption": 0.5}
"""Of the parts of the loss."""

Record = dict[str, float]


def train_scene_clip(
    config: SceneClipConfig,
    folder: Path,
    drawn: Iterator[tuple[np.ndarray, Pictures]] | None = None,
) -> Iterator[Record]:
    """Trains the small CLIP of scenes and yields records; saves it to `folder` as it goes.

    Records hold `step`, `loss` (the mean since the last record), `learning_rate` and `seconds`;
    those of an evaluation also `ROLE/by_role` and `ROLE/plain`, in percent. A training that was
    interrupted goes on from its last evaluation.

    Args:
        config: how it is trained.
        folder: for the weights, and for what an interrupted training goes on from.
        drawn: the pictures of `step_pictures`, so that two trainings can share them; drawn by
            the training's own workers if None.

    Raises:
        UserError: if the folder holds an unfinished training with other settings.
    """
    device = torch.device(config.device)
    things = every_thing()
    book = TokenBook()
    model = build_model(config)
    if config.start:
        weights = read_tensors(Path(config.start) / WEIGHTS_FILE)
        model.load_state_dict({name: value.float() for name, value in weights.items()})
    model = model.to(device).train()
    optimizer = _optimizer(model, config)
    done, spent = _restore(folder, config, model, optimizer)
    tower = TextTower.from_model(model, book.tokenizer)
    started = time.perf_counter() - spent
    losses: list[Tensor] = []
    steps = range(done + 1, config.steps + 1)
    shares = {step: config.singles(step) for step in steps}
    drawn = drawn or step_pictures(
        config.seed, config.batch_size, config.names, shares, config.workers
    )
    for step, (pool, pictures) in zip(steps, drawn, strict=True):
        rate = _learning_rate(step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        rng = np.random.default_rng((2, config.seed, step))
        captions = step_captions(things, pool, pictures, config.captions, config.style_names, rng)
        images = normalised(pictures.pixels, device)
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"),
            _attention(device),
        ):
            seen = F.normalize(model.encode_image(images).float(), dim=-1)
            # Apart, because the pictures' own captions are longer.
            said = torch.cat(
                [
                    tower.encode_tokens(book.tokens(pieces).to(device, non_blocking=True))
                    for pieces in (captions.pieces, captions.own)
                ]
            )
        said = F.normalize(said.float(), dim=-1)
        logits = model.logit_scale.exp() * seen @ said.T
        parts = loss_parts(logits, pictures, captions, pool)
        loss = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        losses.append(loss.detach())
        look = step == config.steps or step % config.eval_every == 0
        if not look and step % LOG_EVERY:
            continue
        record: Record = {
            "step": step,
            "loss": torch.stack(losses).mean().item(),
            "learning_rate": rate,
            "seconds": time.perf_counter() - started,
        }
        losses = []
        if look:
            record |= quick_accuracy(model, config.eval_scenes)
            save_model(model, folder, config, step)
            _keep(folder, config, model, optimizer, step, record["seconds"])
            _note(folder, config, step, record["seconds"])
        yield record


def loss_parts(
    logits: Tensor, pictures: Pictures, captions: StepCaptions, pool: np.ndarray
) -> dict[str, Tensor]:
    """Returns the parts of the loss by name.

    Args:
        logits: (pictures, captions), in the order of `StepCaptions`.
        pictures: of the step.
        captions: of the step.
        pool: the things of the step, in order.
    """
    device = logits.device
    names = len(pool)
    places = np.searchsorted(pool, pictures.things).astype(np.int64)
    places[pictures.things == NOBODY] = NOBODY
    things = torch.from_numpy(places).to(device)
    in_roles, openly, in_styles, own = logits.split(
        [len(ROLES) * names, names, len(captions.style_names) * len(STYLES),
         len(captions.matches)], dim=1
    )  # fmt: skip
    by_role = in_roles.unflatten(1, (len(ROLES), names))
    rows, columns = _named(pictures, captions)
    by_style = in_styles.unflatten(1, (-1, len(STYLES)))  # (pictures, names, styles)
    styles = torch.from_numpy(pictures.styles[rows].astype(np.int64)).to(device)
    chosen = by_style[torch.from_numpy(rows).to(device), torch.from_numpy(columns).to(device)]
    matches = torch.from_numpy(captions.matches).to(device)
    return {
        "name": name_given_role_loss(by_role, things),
        "pair": name_and_role_loss(by_role, things),
        "any": any_name_loss(openly, things),
        "style": style_loss(chosen, styles),
        "caption": matching_loss(own[: len(matches)], matches),
    }


def _attention(device: torch.device) -> AbstractContextManager[None]:
    """Returns a context in which attention is fast on the device.

    The fused attention of CPUs takes most of a step's time in its backward pass: with products
    instead, a step of bf16 takes two thirds of the time.
    """
    return sdpa_kernel(SDPBackend.MATH) if device.type == "cpu" else nullcontext()


def _named(pictures: Pictures, captions: StepCaptions) -> tuple[np.ndarray, np.ndarray]:
    """Returns pictures in which a thing of the style captions is, and the thing's column."""
    is_there = (pictures.things[:, :, None] == captions.style_names).any(axis=1)
    rows, columns = np.nonzero(is_there)
    return rows, columns


def _optimizer(model: CLIP, config: SceneClipConfig) -> torch.optim.Optimizer:
    """Returns AdamW with weight decay on matrices only (rare tokens must not fade)."""
    decayed: list[Tensor] = []
    kept: list[Tensor] = []
    for name, parameter in model.named_parameters():
        plain = parameter.ndim < 2 or "embedding" in name
        (kept if plain else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": kept, "weight_decay": 0.0},
    ]
    rate = config.learning_rate
    return torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.98), eps=1e-6, foreach=True)


def _learning_rate(step: int, config: SceneClipConfig) -> float:
    """Returns the rate of a step (1-based): linear warm-up, then cosine to zero."""
    warmup = max(1, round(config.warmup * config.steps))
    if step <= warmup:
        return config.learning_rate * step / warmup
    along = (step - warmup) / max(1, config.steps - warmup)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * along))


def _keep(
    folder: Path,
    config: SceneClipConfig,
    model: CLIP,
    optimizer: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    """Writes what an interrupted training goes on from; removes it after the last step."""
    if step == config.steps:
        (folder / SNAPSHOT).unlink(missing_ok=True)
        return
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    for number, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{number}.{name}": value for name, value in state.items()}
    described = json.dumps(asdict(config), sort_keys=True)
    about = {"step": str(step), "seconds": str(seconds), "config": described}
    write_tensors(folder / SNAPSHOT, tensors, about)


def _note(folder: Path, config: SceneClipConfig, step: int, seconds: float) -> None:
    """Writes what the model card says of the training."""
    on_gpu = config.device.startswith("cuda")
    hardware = torch.cuda.get_device_name() if on_gpu else "CPU"
    note = {
        "steps": step,
        "seconds": round(seconds),
        "device": hardware,
        "threads": torch.get_num_threads(),
        "settings": asdict(config),
    }
    write_json(folder / NOTE, note)


def _restore(
    folder: Path, config: SceneClipConfig, model: CLIP, optimizer: torch.optim.Optimizer
) -> tuple[int, float]:
    """Loads an interrupted training; returns steps done and seconds spent, zero without one."""
    path = folder / SNAPSHOT
    if not path.is_file():
        return 0, 0.0
    with safe_open(path, "pt") as file:
        about = file.metadata()
    before = json.loads(about["config"])
    for name, value in asdict(config).items():
        if name not in _FREE and before.get(name) != value:
            raise UserError(
                f"{folder} holds an unfinished training with {name} {before.get(name)}, not "
                f"{value}. Go on with the same settings, or remove {path}."
            )
    tensors = read_tensors(path)
    model.load_state_dict(
        {name[6:]: value for name, value in tensors.items() if name.startswith("model.")}
    )
    state: dict[int, dict[str, Tensor]] = {}
    for name, value in tensors.items():
        if name.startswith("optimizer."):
            _, number, key = name.split(".")
            state.setdefault(int(number), {})[key] = value
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return int(about["step"]), float(about["seconds"])
