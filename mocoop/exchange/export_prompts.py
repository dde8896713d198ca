"""Writes a run's prompt as a checkpoint that CoOp's and CoCoOp's own code loads.

The layout is Dassl's: `prompt_learner/model.pth.tar-EPOCH` with `ctx`, the embeddings around it,
and CoCoOp's `meta_net`; all are tensors, so that `torch.load(weights_only=True)` reads the file.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor

from mocoop.clip.backbone import Backbone
from mocoop.errors import UserError
from mocoop.exchange.coop_files import META_NET
from mocoop.model.soft_prompts import STOP
from mocoop.prompt_encoder.layout import filled_tokens
from mocoop.runs.run import Run, RunSetup
from mocoop.storage.atomic import atomic_write, write_text
from mocoop.templates import SLOT


def export_prompts(run: Run, out: Path, backbone: Backbone) -> tuple[Path, ...]:
    """Writes a finished run's prompt in CoOp's layout and returns the files.

    Args:
        run: a run with one learned prompt.
        out: the folder that CoOp's `--model-dir` takes.
        backbone: the run's CLIP.

    Raises:
        UserError: for a run that CoOp's layout cannot hold exactly, or a folder that is not empty.
    """
    run.require_finished()
    setup, weights = run.setup(), run.weights()
    setup.check_backbone(backbone.as_loaded.fingerprint)
    context = _context(run, setup, weights)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder. Choose another one.")
    tokens = context.shape[-2]
    table = backbone.text.tokens
    template = " ".join(["X"] * tokens + [f"{SLOT}{STOP}"])
    names = setup.class_names[: setup.trained_classes]
    with torch.no_grad():
        rows = table.embedding(filled_tokens(table, template, names)).cpu()
    state = {
        "ctx": context,
        "token_prefix": rows[:, :1].clone(),
        "token_suffix": rows[:, 1 + tokens :].clone(),
    }
    # The only prompt's own meta-net (shift_per_expert) is the one that all prompts share.
    known = {name.replace("shift.0.", "shift."): value for name, value in weights.items()}
    state |= {theirs: known[ours] for theirs, ours in META_NET.items() if ours in known}
    epoch = max(1, setup.config.epochs)
    file = out / "prompt_learner" / f"model.pth.tar-{epoch}"
    listed = file.parent / "checkpoint"
    try:
        with atomic_write(file) as temporary:
            torch.save({"state_dict": state, "epoch": epoch}, temporary)
        write_text(listed, f"{file.name}\n")
    except OSError as error:
        raise UserError(
            f"Nothing can be written to {out}: {error.strerror or error}. Free some space, or "
            "choose another folder."
        ) from error
    return file, listed


def _context(run: Run, setup: RunSetup, weights: Mapping[str, Tensor]) -> Tensor:
    """Returns the context (tokens, width), or (classes, tokens, width), of a run's one prompt.

    Raises:
        UserError: if the run has learned more than that, or the name stands in other words.
    """
    config = setup.config
    extra = {
        "no learned prompt": "prompts.before.0" not in weights,
        "several prompts and a router": len(setup.experts) > 1,
        "a correction vector": "correction" in weights,
        "a tuned image tower": config.tunes_images,
        "learned tokens in later blocks": config.text_depth > 1 or len(config.text_keys) > 0,
        "only some learned tokens": config.learned_tokens > 0 or not config.learn_context,
    }
    found = [words for words, is_so in extra.items() if is_so]
    if not found and config.context_init == "template":
        (template, *_), *_ = setup.groups.values()
        if not template.endswith(f"{SLOT}{STOP}") or config.learn_after:
            found = [f"learned or other words after the name ({template!r})"]
    if found:
        raise UserError(
            f"Run {run.name} has {' and '.join(found)}, and CoOp's layout only a context and the "
            "class name with a full stop. Export it as a classifier, without --layout coop."
        )
    before = weights["prompts.before.0"].float()
    if config.context_init == "template":
        return before
    return torch.cat([before, weights["prompts.after.0"].float()], dim=-2)
