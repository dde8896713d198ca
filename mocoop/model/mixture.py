"""The mixture of prompts: text features per expert, a router, and mixed logits.

CoOp and related methods are settings of it: one expert, no gate, no correction vector.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.clip.image_layer_norms import ImageNorms
from mocoop.clip.text_tower import TextTower
from mocoop.clip.tuned_tower import TunedTower, routed_features, seen_features
from mocoop.config import TrainConfig
from mocoop.model.image_shift import MetaNet, Pairs
from mocoop.model.key_prompts import KeyPrompts
from mocoop.model.low_rank_updates import TEXT, LowRankUpdates
from mocoop.model.mixed_logits import Mixture, mix
from mocoop.model.ranks import Ranks
from mocoop.model.router import top_weights
from mocoop.model.soft_prompts import SoftPrompts
from mocoop.model.vision_prompts import (
    VisionPrompts,
    router_sees_frozen,
    tuned_tower,
)
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.prompt_encoder.shared_blocks import SharedStates

# With a conditional context: the most images, and the most pairs of an image and an expert, whose
# prompts are encoded together.
IMAGES_AT_ONCE, PAIRS_AT_ONCE = 32, 128


class PromptMixture(nn.Module):
    """Soft prompts of all experts with their router, over a frozen CLIP.

    Args:
        config: the run's settings.
        prompts: the experts' context tokens.
        gate: router from image features to expert scores; None with one expert.
        correction: vector (dim,) that is added to all text features, or None.
        logit_scale: the frozen CLIP's scale.
        num_chosen: K, the number of experts per image.
        shift: computes the vector that an image adds to the contexts of the experts that are
            chosen for it; one network, or one per expert, or None.
        norms: trained LayerNorms of the image tower, or None.
        vision: learned tokens of the image tower, or None.
        lora: low-rank updates of both towers, or None. Without all three, the towers are frozen.
        precision: dtype inside the towers; fp32 turns autocast off.
    """

    def __init__(
        self,
        config: TrainConfig,
        prompts: SoftPrompts,
        gate: nn.Linear | None,
        correction: nn.Parameter | None,
        logit_scale: float,
        num_chosen: int,
        shift: MetaNet | nn.ModuleList | None = None,
        norms: ImageNorms | None = None,
        vision: VisionPrompts | KeyPrompts | None = None,
        lora: LowRankUpdates | None = None,
        precision: torch.dtype = torch.float32,
    ) -> None:
        super().__init__()
        self.config = config
        self.prompts = prompts
        self.gate = gate
        self.correction = correction
        self.logit_scale = logit_scale
        self.num_chosen = num_chosen
        self.shift = shift
        self.norms = norms
        self.vision = vision
        self.lora = lora
        self.precision = precision
        self.ranks = Ranks()  # set while several processes train the model

    def router_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters that have the router's learning rate."""
        return [] if self.gate is None else list(self.gate.parameters())

    def rests(self, name: str) -> bool:
        """Returns whether a training leaves a parameter as it is, though it can learn."""
        return False

    def text_features(
        self,
        tower: TextTower,
        classes: ClassTokens,
        generator: torch.Generator | None = None,
        share: float = 1.0,
    ) -> Tensor:
        """Returns `soft`, the L2-normalised text features (experts, classes, dim), fp32.

        A conditional context is the one that no image has changed.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            generator: with it, low-rank updates have dropout.
            share: the share of the tower's memory for activations that may be used.
        """
        tower = self._updated(tower, generator)
        with self.autocast():
            features = self.ranks.over_classes(
                classes, lambda some: self.prompts(tower, some, share)
            )
        return self._finished(features)

    def pair_features(
        self,
        tower: TextTower,
        classes: ClassTokens,
        image_features: Tensor,
        pairs: Pairs,
        share: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Returns the L2-normalised text features (pairs, classes, dim), fp32, of shifted prompts.

        The blocks below `condition_from` run once for an expert, whatever its images are.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            image_features: (batch, dim), L2-normalised, as the router sees them.
            pairs: the images and experts; every pair has its own context.
            share: the share of the tower's memory for activations that may be used.
            generator: with it, low-rank updates have dropout.
        """
        assert self.shift is not None
        tower = self._updated(tower, generator)
        first = self.config.condition_from if tower.shares_prefixes else 0
        blocks, used = len(tower.transformer.resblocks), sum(count > 0 for count in pairs.counts)
        # Shares of the memory are by the number of texts times that of blocks.
        unit = share / (used * first + len(pairs.images) * (blocks - first))
        below: dict[int, SharedStates] = {}
        parts = []
        for expert, piece in pairs.pieces():
            net = self.shift[expert] if isinstance(self.shift, nn.ModuleList) else self.shift
            shift = net(image_features[pairs.images[piece]])  # (pairs of the piece, width)
            own = unit * len(shift) * (blocks - first)
            with self.autocast():
                batch = self.prompts.pack_shifted(
                    tower, classes, expert, shift, self.config.condition_from
                )
                if first == 0:
                    parts.append(tower.encode_prompts(batch, own))
                    continue
                if expert not in below:
                    prompts = self.prompts.pack_expert(tower, classes, expert)
                    below[expert] = tower.shared_states(prompts, first, unit * first)
                parts.append(tower.encode_above(below[expert], batch, first, own))
        return self._finished(torch.cat(parts))

    def _updated(self, tower: TextTower, generator: torch.Generator | None) -> TextTower:
        """Returns the text tower with its low-rank updates, if it has any."""
        if self.lora is None:
            return tower
        updates = self.lora.of(TEXT).dropping(self.config.lora_dropout, generator)
        return tower.with_updates(updates)

    def _finished(self, features: Tensor) -> Tensor:
        """Returns text features in fp32, with the correction vector, L2-normalised."""
        features = features.float()
        if self.correction is not None:
            features = features + self.correction
        return F.normalize(features, dim=-1)

    def image_features(
        self, tower: nn.Module, images: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Returns L2-normalised features (batch, dim), fp32, of transformed images.

        Gradients flow to all that is trained in the image tower. With `with_frozen` in
        `tuned_tower` the features are (batch, 2 dim). With a generator (a training step),
        low-rank updates have dropout.
        """
        with self.autocast():
            return self._tuned_tower_with(generator).features(tower, images)

    def training_features(
        self, tower: nn.Module, images: Tensor, generator: torch.Generator | None = None
    ) -> Tensor:
        """Returns the image features of a training step, as `step_losses` takes them.

        They are those of `image_features`; where a loss compares tuned features with the frozen
        tower's, these follow, also if the router does not see them: (batch, 2 dim).
        """
        tuned = self._tuned_tower_with(generator)
        if self.config.compares_images and self.tunes_images:
            tuned = replace(tuned, with_frozen=True)
        with self.autocast():
            return tuned.features(tower, images)

    def tuned_tower(self) -> TunedTower:
        """Returns what the model learns in the image tower, with its gradients."""
        return tuned_tower(self.config, dict(self.named_parameters()))

    def _tuned_tower_with(self, generator: torch.Generator | None) -> TunedTower:
        """Returns the tuned tower; with a generator its low-rank updates have dropout."""
        tuned = self.tuned_tower()
        if tuned.updates is None:
            return tuned
        updates = tuned.updates.dropping(self.config.lora_dropout, generator)
        return replace(tuned, updates=updates)

    @property
    def router_sees_frozen(self) -> bool:
        """Whether the router sees the frozen image tower's features."""
        return router_sees_frozen(self.config, self.gate is not None)

    @property
    def tunes_images(self) -> bool:
        """Whether the model learns anything in the image tower."""
        return any(part is not None for part in (self.norms, self.vision, self.lora))

    @property
    def tunes_texts(self) -> bool:
        """Whether text features change while the model learns."""
        learned = any(p.requires_grad for p in self.prompts.parameters())
        parts = (self.correction, self.shift, self.lora)
        return learned or any(part is not None for part in parts)

    def autocast(self) -> AbstractContextManager:
        """Returns the context manager in which the towers run: autocast, or plain fp32."""
        device = next(self.prompts.parameters()).device.type
        return torch.autocast(device, self.precision, enabled=self.precision != torch.float32)

    def forward(self, image_features: Tensor, soft: Tensor) -> Mixture:
        """Returns the mixture's logits with the router's scores and weights.

        Args:
            image_features: (batch, dim), L2-normalised, or (batch, 2 dim) from a tuned image tower
                whose router sees the frozen tower's feature, or (batch, (experts + 1) dim) with a
                feature per expert.
            soft: (experts, classes, dim), from `text_features`.
        """
        return mix(image_features, soft, self.gate, self.logit_scale, self.num_chosen)

    def conditional(
        self,
        tower: TextTower,
        classes: ClassTokens,
        image_features: Tensor,
        soft: Tensor | None = None,
        everyone: bool = False,
        share: float = 1.0,
        generator: torch.Generator | None = None,
    ) -> Mixture:
        """Returns the mixture whose chosen experts' contexts are changed by each image.

        Only the prompts of the K chosen experts of each image are encoded.

        Args:
            tower: the frozen text tower.
            classes: the class names.
            image_features: as in `forward`.
            soft: (experts, classes, dim), from `text_features`: by these the experts answer that
                are not chosen. Without it their logits are 0.
            everyone: all experts are chosen, with equal weight, whatever the router says.
            share: the share of the tower's memory for activations that may be used.
            generator: with it, low-rank updates have dropout.
        """
        experts = len(self.prompts.before)
        seen = seen_features(image_features, tower.dim)
        routed = routed_features(image_features, tower.dim)
        scores = routed.new_zeros(len(routed), experts) if self.gate is None else self.gate(routed)
        steering = torch.zeros_like(scores) if everyone else scores
        num_chosen = experts if everyone else self.num_chosen
        weights = top_weights(steering, num_chosen)
        pairs = Pairs.chosen(steering, num_chosen)
        # (pairs, classes, dim)
        text = self.ranks.over_classes(
            classes,
            lambda some: self.pair_features(tower, some, routed, pairs, share, generator),
        )
        logits = self.logit_scale * torch.einsum("bd,bcd->bc", seen[pairs.images], text)
        others = seen.new_zeros(len(seen), experts, logits.shape[1])
        if soft is not None:
            others = self.logit_scale * torch.einsum("bd,gcd->bgc", seen, soft)
        expert_logits = others.index_put((pairs.images, pairs.experts), logits)
        mixed = torch.einsum("bg,bgc->bc", weights, expert_logits)
        return Mixture(scores, weights, expert_logits, mixed)


@torch.no_grad()
def predict(
    model: PromptMixture,
    tower: TextTower,
    classes: ClassTokens,
    features: Tensor,
    everyone: bool = False,
) -> Mixture:
    """Returns the model's output for image features (images, dim) and the given classes.

    Args:
        model: the model.
        tower: the frozen text tower.
        classes: the class names.
        features: as `PromptMixture.forward` takes them.
        everyone: with a conditional context: all experts are chosen, with equal weight.
    """
    if model.shift is None:
        return model(features, model.text_features(tower, classes))
    experts = len(model.prompts.before)
    chosen = experts if everyone else model.num_chosen
    soft = model.text_features(tower, classes) if chosen < experts else None
    parts = [
        model.conditional(tower, classes, part, soft, everyone)
        for part in features.split(max(1, min(IMAGES_AT_ONCE, PAIRS_AT_ONCE // chosen)))
    ]
    return Mixture(
        torch.cat([part.scores for part in parts]),
        torch.cat([part.weights for part in parts]),
        torch.cat([part.expert_logits for part in parts]),
        torch.cat([part.logits for part in parts]),
    )
