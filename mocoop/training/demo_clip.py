"""Trains the small CLIP that ships with the project, on pictures that this module draws.

Every class of the four built-in sets is drawn in every style, with the easy setting and with
new pictures at every step. Digits are drawn from fonts, never taken from the scans in the
`digits` set. Each picture has a caption that names its class and style. The loss is CLIP's;
every caption of the batch that is true of an image counts as a match.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import open_clip
import torch
import torch.nn.functional as F
from open_clip.model import CLIP
from torch import Tensor

from mocoop.clip.text_tower import TextTower
from mocoop.datasets.drawing import BENT, EASY, STYLES, Difficulty, Shape, draw
from mocoop.datasets.glyphs import DIGIT_FONTS, DIGITS, FACES, GAMES, PICTOGRAPHS, glyph
from mocoop.markdown import markdown_table
from mocoop.storage.atomic import write_json, write_tensors, write_text
from mocoop.templates import TemplateSet, fill, load_templates
from mocoop.training.demo_config import DemoClipConfig

MODEL_CONFIG = {
    "embed_dim": 128,
    "vision_cfg": {
        "image_size": 64,
        "patch_size": 8,
        "width": 128,
        "layers": 4,
        "head_width": 32,
    },
    "text_cfg": {
        "context_length": 77,
        "vocab_size": 49408,
        "width": 128,
        "heads": 4,
        "layers": 3,
    },
}
# Relative frequency with which a class of each set is drawn: finer differences need more
# pictures.
EMPHASIS = {"pictographs": 1.0, "faces": 1.5, "games": 1.0, "digits": 2.0}
PREPROCESS_CONFIG = {
    "size": [64, 64],
    "mode": "RGB",
    "mean": list(open_clip.OPENAI_DATASET_MEAN),
    "std": list(open_clip.OPENAI_DATASET_STD),
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "fill_color": 0,
}


@dataclass(frozen=True)
class DemoClass:
    """One class that the small CLIP learns: its name and the shapes that show it."""

    dataset: str
    name: str
    shapes: tuple[Shape, ...]
    difficulty: Difficulty = EASY


def demo_classes() -> tuple[DemoClass, ...]:
    """Returns every class of the built-in sets, in the order of the tables."""
    tables = {"pictographs": PICTOGRAPHS, "faces": FACES, "games": GAMES}
    classes = [
        DemoClass(dataset, name, (glyph(character),))
        for dataset, table in tables.items()
        for name, character in table.items()
    ]
    for name, character in DIGITS.items():
        shapes = tuple(glyph(character, font) for font in DIGIT_FONTS)
        classes.append(DemoClass("digits", name, shapes, BENT))
    return tuple(classes)


def build_model(seed: int) -> CLIP:
    """Returns an untrained small CLIP whose weights depend only on the seed."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        return CLIP(**MODEL_CONFIG)


def train_demo_clip(config: DemoClipConfig, folder: Path) -> Iterator[dict[str, float | int]]:
    """Trains the small CLIP, yields a record per step and saves the model at every evaluation.

    A record has `step`, `loss` and `learning_rate`. After an evaluation it also has `accuracy`
    and `accuracy/STYLE`: zero-shot accuracy in percent on unseen easy pictures, with the plain
    template and the class names of the picture's own set.
    """
    device = torch.device(config.device)
    classes = demo_classes()
    templates = load_templates("drawn")
    tokenizer = open_clip.SimpleTokenizer()
    model = build_model(config.seed).to(device).train()
    tower = TextTower.from_model(model, tokenizer)
    optimizer = _optimizer(model, config)
    rng = np.random.default_rng([config.seed, 0])
    autocast = torch.autocast(
        device.type, dtype=torch.bfloat16, enabled=config.precision == "bf16"
    )
    for step in range(1, config.steps + 1):
        rate = _learning_rate(step, config)
        for group in optimizer.param_groups:
            group["lr"] = rate
        pictures, captions, matches = _draw_batch(classes, templates, config, rng)
        images = normalise_pictures(pictures.to(device))
        tokens = tokenizer(captions).to(device)
        with autocast:
            image_features = F.normalize(model.encode_image(images), dim=-1)
            text_features = F.normalize(tower.encode_tokens(tokens), dim=-1)
            logits = model.logit_scale.exp() * image_features.float() @ text_features.float().T
        loss = multi_match_loss(logits.float(), matches.to(device))
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, math.log(100))
        record: dict[str, float | int] = {
            "step": step,
            "loss": loss.item(),
            "learning_rate": rate,
        }
        last = step == config.steps
        if last or step % config.eval_every == 0:
            scores = style_accuracy(model, classes, config.eval_images if last else 2)
            save_demo_clip(model, folder, config, step, scores)
            record["accuracy"] = float(np.mean([scores["all"][style] for style in STYLES]))
            record |= {f"accuracy/{style}": scores["all"][style] for style in STYLES}
        yield record


def multi_match_loss(logits: Tensor, matches: Tensor) -> Tensor:
    """Returns CLIP's symmetric loss where an image may match several captions.

    Args:
        logits: scaled similarities, (images, captions).
        matches: 1 where the caption is true of the image, else 0; (images, captions), with
            at least one match in each row and column.
    """
    by_image = matches / matches.sum(dim=1, keepdim=True)
    by_text = matches / matches.sum(dim=0, keepdim=True)
    image_loss = -(by_image * logits.log_softmax(dim=1)).sum(dim=1).mean()
    text_loss = -(by_text * logits.log_softmax(dim=0)).sum(dim=0).mean()
    return (image_loss + text_loss) / 2


def normalise_pictures(pictures: Tensor) -> Tensor:
    """Returns the model's input, float, from uint8 pictures (batch, height, width, 3)."""
    mean = torch.tensor(open_clip.OPENAI_DATASET_MEAN, device=pictures.device)
    std = torch.tensor(open_clip.OPENAI_DATASET_STD, device=pictures.device)
    images = (pictures.float() / 255.0 - mean) / std
    return images.permute(0, 3, 1, 2).contiguous()  # (batch, 3, height, width)


@torch.no_grad()
def style_accuracy(
    model: CLIP, classes: Sequence[DemoClass], images_per_style: int
) -> dict[str, dict[str, float]]:
    """Returns data set (and `all`) → style → zero-shot accuracy in percent.

    The pictures are unseen and easy, and the template is the plain one. The model chooses among
    the class names of the picture's own data set. `all` is the mean over the classes of all sets.
    """
    model.eval()
    device = model.logit_scale.device
    template = load_templates("drawn").zero_shot
    tokenizer = open_clip.SimpleTokenizer()
    scores: dict[str, dict[str, float]] = {}
    sums = dict.fromkeys(STYLES, 0.0)
    for dataset in dict.fromkeys(c.dataset for c in classes):
        members = [c for c in classes if c.dataset == dataset]
        tokens = tokenizer([fill(template, c.name) for c in members]).to(device)
        text = F.normalize(TextTower.from_model(model, tokenizer).encode_tokens(tokens), dim=-1)
        rng = np.random.default_rng([977, len(members)])  # never a training seed
        scores[dataset] = {}
        for style in STYLES:
            pictures = [
                draw(c.shapes[int(rng.integers(len(c.shapes)))], style, c.difficulty, rng)
                for c in members
                for _ in range(images_per_style)
            ]
            labels = torch.arange(len(members)).repeat_interleave(images_per_style)
            predicted = torch.cat(
                [
                    (model.encode_image(normalise_pictures(part.to(device))) @ text.T).argmax(1)
                    for part in torch.from_numpy(np.stack(pictures)).split(512)
                ]
            )
            accuracy = 100 * (predicted.cpu() == labels).float().mean().item()
            scores[dataset][style] = accuracy
            sums[style] += accuracy * len(members)
    scores["all"] = {style: total / len(classes) for style, total in sums.items()}
    model.train()
    return scores


def save_demo_clip(
    model: CLIP,
    folder: Path,
    config: DemoClipConfig,
    step: int,
    scores: dict[str, dict[str, float]],
) -> None:
    """Writes the fp16 weights, the open_clip config and the model card, each file atomically."""
    weights = {name: value.half() for name, value in model.state_dict().items()}
    write_tensors(folder / "open_clip_model.safetensors", weights, {"step": str(step)})
    description = {"model_cfg": MODEL_CONFIG, "preprocess_cfg": PREPROCESS_CONFIG}
    write_json(folder / "open_clip_config.json", description)
    write_text(folder / "README.md", _model_card(model, config, step, scores))


def _draw_batch(
    classes: Sequence[DemoClass],
    templates: TemplateSet,
    config: DemoClipConfig,
    rng: np.random.Generator,
) -> tuple[Tensor, list[str], Tensor]:
    """Returns pictures (batch, height, width, 3), distinct captions, and the matches.

    The matches are (batch, captions), 1 where the caption is true of the picture, else 0.
    """
    emphasis = np.array([EMPHASIS[c.dataset] for c in classes])
    chosen = rng.choice(len(classes), size=config.batch_size, p=emphasis / emphasis.sum())
    styles = rng.integers(len(STYLES), size=config.batch_size)
    pictures, captions = [], {}
    for label, style_index in zip(chosen, styles, strict=True):
        member, style = classes[label], STYLES[style_index]
        shape = member.shapes[int(rng.integers(len(member.shapes)))]
        pictures.append(draw(shape, style, member.difficulty, rng))
        plain = rng.random() < config.plain_captions
        words = (templates.zero_shot,) if plain else templates.groups[style]
        caption = fill(words[int(rng.integers(len(words)))], member.name)
        captions[caption] = (label, None if plain else style_index)
    of_class = np.array([label for label, _ in captions.values()])
    of_style = np.array([-1 if s is None else s for _, s in captions.values()])
    same_class = chosen[:, None] == of_class[None, :]
    same_style = (styles[:, None] == of_style[None, :]) | (of_style[None, :] < 0)
    matches = torch.from_numpy((same_class & same_style).astype(np.float32))
    return torch.from_numpy(np.stack(pictures)), list(captions), matches


def _optimizer(model: CLIP, config: DemoClipConfig) -> torch.optim.Optimizer:
    """Returns AdamW with weight decay on matrices only.

    Embeddings have none, because decay would shrink the embeddings of rare tokens.
    """
    decayed: list[Tensor] = []
    not_decayed: list[Tensor] = []
    for name, parameter in model.named_parameters():
        without_decay = parameter.ndim < 2 or "embedding" in name
        (not_decayed if without_decay else decayed).append(parameter)
    groups = [
        {"params": decayed, "weight_decay": config.weight_decay},
        {"params": not_decayed, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=config.learning_rate, betas=(0.9, 0.98), eps=1e-6)


def _learning_rate(step: int, config: DemoClipConfig) -> float:
    """Returns the learning rate of a step (1-based): linear warm-up, then cosine to zero."""
    if step <= config.warmup_steps:
        return config.learning_rate * step / config.warmup_steps
    progress = (step - config.warmup_steps) / max(1, config.steps - config.warmup_steps)
    return config.learning_rate * 0.5 * (1 + math.cos(math.pi * progress))


def _model_card(
    model: CLIP, config: DemoClipConfig, step: int, scores: dict[str, dict[str, float]]
) -> str:
    """Returns the model card in Markdown."""
    size = sum(parameter.numel() for parameter in model.parameters()) / 1e6
    rows = [(style, *(f"{part[style]:.1f}" for part in scores.values())) for style in STYLES]
    means = (f"{np.mean(list(part.values())):.1f}" for part in scores.values())
    table = markdown_table(("style", *scores), [*rows, ("**mean**", *means)])
    settings = ", ".join(f"{key} {value}" for key, value in asdict(config).items())
    return (
        "# The small CLIP of the built-in demo\n\n"
        f"An open_clip `CLIP` of {size:.1f} M parameters (64 px, patch 8, width 128, CLIP's own "
        "byte-pair tokenizer), weights in fp16. It knows the drawn shapes of the built-in sets "
        "and nothing else.\n\n"
        "**Data.** `mocoop.datasets.drawing` draws the pictures during training, with the easy "
        "setting: every class of `pictographs`, `faces`, `games` and the ten digits in every "
        "style. The captions name class and style. The digits come in 13 fonts and are bent a "
        "little. No picture comes from outside: the glyphs are those of fonts that matplotlib "
        "installs. The model never sees the scans of the `digits` set.\n\n"
        f"**Command.** `mocoop demo-clip` ({step} of {config.steps} steps done; {settings}).\n\n"
        "**Accuracy**, percent, zero-shot with the plain template on unseen easy pictures, "
        f"choosing among the names of the picture's own set (`digits` here: font digits):\n\n"
        f"{table}\n"
    )
