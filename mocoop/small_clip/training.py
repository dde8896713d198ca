"""Trains the small CLIP of scenes, in which the words around a name decide what is meant.

Three things help it to learn quickly. Every step scores each picture against all names in the
words of every role, not only against the captions of the batch. Each patch is taught which thing
in which role it shows, by a layer that is not kept. And the first pictures mostly show a single
thing, from which names are learned before roles are.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor
from torch.nn.attention import SDPBackend, sdpa_kernel

from mocoop.clip.text_tower import TextTower
from mocoop.small_clip.captions import StepCaptions, step_captions
from mocoop.small_clip.config import SmallClipConfig
from mocoop.small_clip.evaluation import quick_accuracy
from mocoop.small_clip.losses import (
    any_name_loss,
    matching_loss,
    name_and_role_loss,
    name_given_role_loss,
    patch_loss,
    style_loss,
)
from mocoop.small_clip.model import WEIGHTS as WEIGHTS_FILE
from mocoop.small_clip.model import (
    TokenBook,
    build_model,
    build_patch_head,
    normalised,
    save_model,
)
from mocoop.small_clip.optimizer import optimizers, rate_of_step, set_rate
from mocoop.small_clip.pictures import Pictures, step_pictures
from mocoop.small_clip.snapshot import keep, note, restore
from mocoop.storage.atomic import read_tensors
from mocoop.world.patches import NOBODY
from mocoop.world.roles import ROLES
from mocoop.world.styles import STYLES
from mocoop.world.things import every_thing

LOG_EVERY = 10  # steps between two records
WEIGHTS = {"name": 2.0, "pair": 0.5, "any": 0.5, "style": 0.5, "caption": 0.5}
"""Of the parts of the loss."""

Record = dict[str, float]
ImageEncoder = Callable[[Tensor], tuple[Tensor, Tensor | None]]


def train_small_clip(
    config: SmallClipConfig,
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
    head = build_patch_head(config).to(device)
    modules = {"model": model, "head": head}
    optimisers = optimizers([model, head], config)
    done, spent = restore(folder, config, modules, optimisers)
    tower = TextTower.from_model(model, book.tokenizer)
    encode = image_encoder(model, config.patch_block, config.compile)
    started = time.perf_counter() - spent
    losses: list[Tensor] = []
    steps = range(done + 1, config.steps + 1)
    shares = {step: config.singles(step) for step in steps}
    drawn = drawn or step_pictures(
        config.seed, config.batch_size, config.names, shares, config.workers
    )
    for step, (pool, pictures) in zip(steps, drawn, strict=True):
        rate = rate_of_step(step, config)
        rng = np.random.default_rng((2, config.seed, step))
        captions = step_captions(things, pool, pictures, config.captions, config.style_names, rng)
        images = normalised(pictures.pixels, device)
        with (
            torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"),
            _attention(device),
        ):
            seen, of_patches = encode(images)
            # Apart, because the pictures' own captions are longer.
            said = torch.cat(
                [
                    tower.encode_tokens(book.tokens(pieces).to(device, non_blocking=True))
                    for pieces in (captions.pieces, captions.own)
                ]
            )
            if of_patches is not None:
                shows = torch.from_numpy(pictures.patches != NOBODY).to(device)
                of_patches = head(of_patches[shows])
        seen, said = (F.normalize(part.float(), dim=-1) for part in (seen, said))
        logits = model.logit_scale.exp() * seen @ said.T
        parts = loss_parts(logits, pictures, captions, pool)
        loss = torch.stack([WEIGHTS[name] * part for name, part in parts.items()]).sum()
        if of_patches is not None:
            in_roles = said[: len(ROLES) * len(pool)]
            shown = F.normalize(of_patches.float(), dim=-1)  # (shown, dim)
            by_patch = (model.logit_scale.exp() * shown @ in_roles.T).unflatten(
                1, (len(ROLES), -1)
            )
            patches = torch.from_numpy(pictures.patches.astype(np.int64)).to(device)
            named = _places(pictures, pool).to(device)
            loss = loss + config.patch_weight * patch_loss(by_patch, named, patches)
        model.zero_grad(set_to_none=True)
        head.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_([*model.parameters(), *head.parameters()], 1.0)
        for optimizer in optimisers:
            set_rate(optimizer, rate)
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
            keep(folder, config, modules, optimisers, step, record["seconds"])
            note(folder, config, step, record["seconds"])
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
    things = _places(pictures, pool).to(device)
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


def _places(pictures: Pictures, pool: np.ndarray) -> Tensor:
    """Returns the things of pictures as places in the pool, NOBODY where a role is empty."""
    places = np.searchsorted(pool, pictures.things).astype(np.int64)
    places[pictures.things == NOBODY] = NOBODY
    return torch.from_numpy(places)


def image_encoder(model: CLIP, block: int, compiled: bool) -> ImageEncoder:
    """Returns a function from images to their features, and to those of patches after `block`.

    The second are (pictures, patches, width), None without a block.

    Args:
        model: the small CLIP.
        block: 1-based; 0 for none.
        compiled: whether torch compiles the function, for pictures of one number per step.
    """

    def encode(images: Tensor) -> tuple[Tensor, Tensor | None]:
        if not block:
            return model.visual(images), None
        found = model.visual.forward_intermediates(images, [block - 1], output_fmt="NLC")
        return found["image_features"], found["image_intermediates"][0]

    return torch.compile(encode, dynamic=False) if compiled else encode


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
