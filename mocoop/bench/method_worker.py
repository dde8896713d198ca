"""The process that measures one side of one method for `mocoop bench --methods`.

`python -m mocoop.bench.method_worker CASE` reads the commands `describe`, `step` and `image`
from standard input, one per line. CASE is a `MethodCase` as JSON.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mocoop.bench.plain_methods import PlainMixture, conditional_gradients
from mocoop.bench.worker import (
    Timing,
    answer_commands,
    architecture,
    class_names,
    groups_of,
    image_size,
    memory_in_use,
    timed,
)
from mocoop.clip.backbone import Backbone, choose_device
from mocoop.clip.frozen_attention import FrozenAttention
from mocoop.config import TrainConfig
from mocoop.methods import METHODS
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import HardText
from mocoop.presets import preset
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.data import TrainingData
from mocoop.training.image_sources import CachedImages
from mocoop.training.length_search import SearchOptimizer, alphas_of
from mocoop.training.loop import fixed_texts
from mocoop.training.optimizer import PromptOptimizer
from mocoop.training.step_losses import step_losses

MethodSide = Literal["plain", "ours"]
PLAIN_PROMPT = ("a photo of a {}.",)


@dataclass(frozen=True)
class MethodCase:
    """One side of a training step of one method."""

    side: MethodSide
    """plain, or ours."""
    method: str
    """A key of `METHODS`."""
    classes: int = 100
    experts: int = 4
    """Experts of a mixture; all other methods have one prompt."""
    batch: int = 4
    backbone: str = "ViT-B-16"
    """An open_clip architecture (with random weights), or a name that `load_backbone` takes."""
    threads: int = 1
    device: str = "cpu"
    search: bool = False
    """Whether it is a step of the search that precedes the method's training."""

    @property
    def label(self) -> str:
        """The name of the case in messages."""
        stage = ", search" if self.search else ""
        return f"{self.method}{stage}, {self.side}"


class MethodBench:
    """A training of one method that is ready for its first step.

    Args:
        case: the case to measure.
    """

    def __init__(self, case: MethodCase) -> None:
        self.case = case
        device = choose_device(case.device)
        self.device = device
        self.backbone = architecture(case.backbone, device)
        self.visual = self.backbone.model.visual
        for module in self.visual.modules():
            if isinstance(module, FrozenAttention):
                module.quick = case.side == "ours"
        self.config = step_settings(case)
        self.generator = torch.Generator().manual_seed(1)
        assert self.config.groups is not None
        self.model = build_model(self.config, self.backbone, self.config.groups, self.generator)
        if case.side == "plain":
            self.model = PlainMixture.sharing(self.model)
        self.tower = self.backbone.text
        names = class_names(case.classes)
        self.classes = ClassTokens.from_names(self.tower.tokens, names)
        self.data = _random_data(case, self.backbone, names, self.config, self.generator)
        self.pictures, self.labels = self._batch(case.batch)
        self.held_out = self._batch(self.config.length_batch) if case.search else None
        self.search = SearchOptimizer(self.model, self.config) if case.search else None
        own = None if self.search is None else self.search.prompts
        self.stepper = own or PromptOptimizer(self.model, self.config)
        # Both sides encode texts that never change only once.
        self.fixed = fixed_texts(self.model, self.tower, self.classes)
        self.base = memory_in_use(device)

    @property
    def parameters(self) -> int:
        """The number of learned parameters."""
        return sum(p.numel() for p in self.model.parameters() if p.requires_grad)

    def _batch(self, count: int) -> tuple[Tensor, Tensor]:
        """Returns random pictures and labels."""
        labels = torch.randint(self.case.classes, (count,), generator=self.generator)
        size = image_size(self.backbone)
        pictures = torch.randn(count, 3, *size, generator=self.generator)
        return pictures.to(self.device), labels.to(self.device)

    def image_features(self, pictures: Tensor | None = None) -> Tensor:
        """Returns the step's image features; only the plain side encodes frozen ones again.

        Args:
            pictures: those to encode; by default the batch of the prompts.
        """
        plain = isinstance(self.model, PlainMixture)
        if plain or self.model.tunes_images:
            pictures = self.pictures if pictures is None else pictures
            return self.model.training_features(self.visual, pictures, self.generator)
        chosen = torch.arange(self.case.batch)
        return self.data.train.batch(self.model, chosen, 1, self.generator)

    def step(self) -> None:
        """Does one full optimiser step; in a search that of the lengths' weights comes first."""
        if self.search is not None and self.held_out is not None:
            pictures, labels = self.held_out
            loss = self.losses(self.image_features(pictures), labels)["classification"]
            self.search.step_alphas(loss, 1, 1)
        features = self.image_features()
        model, config = self.model, self.config
        if isinstance(model, PlainMixture) and config.conditional:
            total = conditional_gradients(
                model, self.tower, self.classes, features, self.labels, self.data, config
            )
            losses = {"total": total}
        else:
            losses = self.losses(features, self.labels)
        self.stepper.step(losses, 1, 1)

    def losses(self, features: Tensor, labels: Tensor) -> dict[str, Tensor]:
        """Returns the losses of a batch."""
        losses, _ = step_losses(
            self.model, self.tower, self.classes, features, labels, self.data, self.config,
            self.generator, self.fixed,
        )  # fmt: skip
        return losses

    def image(self) -> None:
        """Runs the step's image side alone: forward, and backward to what is learned in it."""
        alphas = list(alphas_of(self.model).values())
        if self.held_out is not None:
            self._image_backward(self.held_out[0], alphas)
        others = {id(parameter) for parameter in alphas}
        learned = [p for p in self.model.parameters() if p.requires_grad and id(p) not in others]
        self._image_backward(self.pictures, learned)

    def _image_backward(self, pictures: Tensor, learned: Sequence[Tensor]) -> None:
        """Encodes pictures, and goes backwards to what is learned from them."""
        features = self.image_features(pictures)
        if features.requires_grad:
            torch.autograd.grad(features.sum(), learned, allow_unused=True)

    def answer(self, command: str) -> dict[str, Any]:
        """Runs a command and returns its answer."""
        if command == "describe":
            return {"parameters": self.parameters, "texts": self.fixed is None}
        timing: Timing = timed(getattr(self, command), self.device, self.base)
        return asdict(timing)


def step_settings(case: MethodCase) -> TrainConfig:
    """Returns a method's published settings, in fp32 and for the size of the case.

    Where a search chooses numbers of learned tokens, the training has the largest ones.
    """
    own = preset(case.method, case.backbone)
    if not case.search:
        own = replace(own, vision_lengths=own.vision_keys, text_lengths=own.text_keys)
    mixture = METHODS[case.method].is_mixture
    return replace(
        own,
        groups=groups_of(case.experts) if mixture else {"prompt": PLAIN_PROMPT},
        num_chosen=min(own.num_chosen, case.experts) if mixture else 1,
        batch_size=case.batch,
        precision="fp32",
    )


def _random_data(
    case: MethodCase,
    backbone: Backbone,
    names: tuple[str, ...],
    config: TrainConfig,
    generator: torch.Generator,
) -> TrainingData:
    """Returns random features; the content does not change the cost."""

    def random(*shape: int) -> Tensor:
        drawn = torch.randn(*shape, backbone.text.dim, generator=generator)
        return F.normalize(drawn, dim=-1).to(backbone.device)

    images = CachedImages(random(case.batch, 1))
    assert config.groups is not None
    hard = random(len(config.groups), case.classes)
    owner = torch.arange(len(hard), device=backbone.device)
    text = HardText(hard, hard, hard, owner, random(case.classes))
    labels = torch.zeros(case.batch, dtype=torch.long)
    return TrainingData(images, labels, images, labels, names, len(names), text)


if __name__ == "__main__":
    answer_commands(MethodCase, MethodBench)
