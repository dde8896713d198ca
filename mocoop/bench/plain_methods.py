"""A plain implementation of every method's forward pass, for `mocoop bench --methods`.

Every prompt has all 77 tokens, one expert after the other, and with a context that sees the image
one pair of image and expert after the other. Autograd does everything. It is slow on purpose. Only
the parameters, the losses and the optimiser are those of the library.
"""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.bench.plain_path import plain_text_features
from mocoop.bench.plain_towers import plain_image_features, plain_text_blocks
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.model.image_shift import Pairs
from mocoop.model.losses import text_supervision_loss
from mocoop.model.low_rank_updates import IMAGE, TEXT
from mocoop.model.mixture import PromptMixture
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.data import TrainingData
from mocoop.training.step_losses import step_losses


class PlainMixture(PromptMixture):
    """A model whose towers run in the plain way; its parameters are those of another model."""

    @classmethod
    def sharing(cls, model: PromptMixture) -> PlainMixture:
        """Returns a plain model with the parameters of a model, which it shares."""
        return cls(
            model.config, model.prompts, model.gate, model.correction, model.logit_scale,
            model.num_chosen, model.shift, model.norms, model.vision, model.lora, model.precision,
        )  # fmt: skip

    def text_features(
        self,
        tower: TextTower,
        classes: ClassTokens,
        generator: torch.Generator | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """Returns the features of all experts' prompts, as `PromptMixture.text_features`."""
        experts = range(len(self.prompts.before))
        return torch.stack([self.expert_texts(tower, classes, e, generator) for e in experts])

    def pair_features(
        self,
        tower: TextTower,
        classes: ClassTokens,
        image_features: Tensor,
        pairs: Pairs,
        share: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Returns the features of shifted prompts, as `PromptMixture.pair_features`."""
        assert self.shift is not None
        rows = []
        for image, expert in zip(pairs.images.tolist(), pairs.experts.tolist(), strict=True):
            net = self.shift[expert] if isinstance(self.shift, nn.ModuleList) else self.shift
            shift = net(image_features[image])
            rows.append(self.expert_texts(tower, classes, expert, generator, shift))
        return torch.stack(rows)

    def expert_texts(
        self,
        tower: TextTower,
        classes: ClassTokens,
        expert: int,
        generator: torch.Generator | None = None,
        shift: Tensor | None = None,
    ) -> Tensor:
        """Returns the L2-normalised features (classes, dim) of one expert's prompts.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            expert: the expert's index.
            generator: with it, low-rank updates have dropout.
            shift: the vector (width,) that an image adds to the learned tokens, or None.
        """
        prompts, first = self.prompts, self.config.condition_from
        before, after = prompts.before[expert], prompts.after[expert]
        deep = list(prompts.deep[expert]) if len(prompts.deep) else []
        if shift is not None:
            if first == 0:
                before = before + shift
                after = after + shift if prompts.learn_after[expert] else after
            deep = [row + shift if n >= first else row for n, row in enumerate(deep, start=1)]
        before = torch.cat([before, prompts.get_buffer(f"lead_{expert}")])
        after = torch.cat([after, prompts.get_buffer(f"tail_{expert}")])
        updates = None if self.lora is None else self.lora.of(TEXT)
        dropout = 0.0 if generator is None else self.config.lora_dropout
        keys = None if prompts.keys is None else prompts.keys()
        with self.autocast():
            run = lambda x: plain_text_blocks(tower, x, deep, updates, dropout, keys)
            features = plain_text_features(tower, classes.names, before, after, run)
        return self._finished(features)

    def training_features(
        self, tower: nn.Module, images: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Returns the image features of a step, as `PromptMixture.training_features`."""
        updates = None if self.lora is None else self.lora.of(IMAGE)
        dropout = 0.0 if generator is None else self.config.lora_dropout
        with self.autocast(), torch.set_grad_enabled(self.tunes_images):
            tuned = self.tuned_tower()
            found = plain_image_features(tower, images, tuned.tokens, updates, dropout, tuned.keys)
        both = [F.normalize(found.float(), dim=-1)]
        compares = self.config.compares_images and self.tunes_images
        if self.router_sees_frozen or compares:
            with torch.no_grad():
                both.append(F.normalize(plain_image_features(tower, images).float(), dim=-1))
        return torch.cat(both, dim=-1)


def conditional_gradients(
    model: PlainMixture,
    tower: TextTower,
    classes: ClassTokens,
    features: Tensor,
    labels: Tensor,
    data: TrainingData,
    config: TrainConfig,
) -> Tensor:
    """Returns a loss whose gradient is that of a step with contexts that see the image.

    Images and experts go backwards one at a time, so that a step does not need the activations of
    all pairs at once: as in CoCoOp's code, whose batches have one image.
    """
    learned = [p for p in model.parameters() if p.requires_grad]
    total = [torch.zeros_like(p) for p in learned]

    def add(loss: Tensor) -> None:
        for sum_, found in zip(total, torch.autograd.grad(loss, learned, materialize_grads=True),
                               strict=True):  # fmt: skip
            sum_ += found

    without = replace(config, text_weight=0.0)
    for image in range(len(features)):
        one = slice(image, image + 1)
        losses, _ = step_losses(model, tower, classes, features[one], labels[one], data, without)
        add(losses["total"] / len(features))
    if config.text_weight > 0:
        scale = model.logit_scale if config.text_scale == "logit" else 1.0
        for expert, targets in enumerate(data.hard.prototypes):
            soft = model.expert_texts(tower, classes, expert)[None]
            loss = text_supervision_loss(soft, targets[None], scale)
            add(config.text_weight * loss / len(data.hard.prototypes))
    return torch.stack([(p * g).sum() for p, g in zip(learned, total, strict=True)]).sum()
