"""pFedMoAP's client: its own prompt beside other clients' prompts, mixed by an attention gate.

Source: pFedMoAP (arXiv 2410.10114). The gate starts as an average of the experts weighted by
similarity (identity matrices) instead of random numbers, which would change all predictions when
it is first used.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from mocoop.errors import UserError
from mocoop.model.mixed_logits import Mixture
from mocoop.model.mixture import PromptMixture

GATE_DIM, HEADS, SHARPNESS = 128, 8, 10.0


class AttentionGate(nn.Module):
    """Multi-head attention from an image to the text features of a class, one per expert.

    Args:
        dim: dimensions of the features; every (dim / 128)-th is used.

    Raises:
        UserError: if these cannot be divided among the heads.
    """

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.stride = max(1, dim // GATE_DIM)
        size = -(-dim // self.stride)
        if size % HEADS:
            raise UserError(
                f"pFedMoAP's attention gate has {HEADS} heads of equal size, but the features of "
                f"this CLIP are {dim} wide, of which it uses {size}. Choose another CLIP, such as "
                "demo, or another strategy, such as fedavg."
            )
        self.query, self.key, self.value, self.out = (_identity(size) for _ in range(4))

    def pool(self, features: Tensor) -> Tensor:
        """Returns every stride-th dimension of features (…, dim)."""
        return features[..., :: self.stride]

    def forward(self, images: Tensor, texts: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the mixed text features and the weights of the experts.

        Args:
            images: (batch, dim), L2-normalised.
            texts: (experts, classes, dim), L2-normalised.

        Returns:
            Mixed features (batch, classes, size), not normalised, and weights (batch, experts),
            means over heads and classes.
        """
        query = _heads(self.query(self.pool(images)))  # (batch, heads, size of a head)
        pooled = self.pool(texts)
        key, value = _heads(self.key(pooled)), _heads(self.value(pooled))  # (experts, classes, …)
        scores = SHARPNESS * torch.einsum("bhd,gchd->bchg", query, key)
        weights = scores.softmax(dim=-1)
        mixed = torch.einsum("bchg,gchd->bchd", weights, value).flatten(-2)
        return self.out(mixed), weights.mean(dim=(1, 2))


def _identity(size: int) -> nn.Linear:
    layer = nn.utils.skip_init(nn.Linear, size, size)
    with torch.no_grad():
        layer.weight.copy_(torch.eye(size))
        layer.bias.zero_()
    return layer


def _heads(features: Tensor) -> Tensor:
    """Returns features (…, size) as (…, heads, size / heads)."""
    return features.unflatten(-1, (HEADS, -1))


class BesideOthers(PromptMixture):
    """One prompt, beside fixed text features of other clients' prompts once there are any."""

    others: Tensor | None = None
    """(other prompts, classes, dim), L2-normalised, without gradient."""
    attention: AttentionGate
    own_weight = 0.5
    """lambda: the weight of the own prompt's logits beside those of the mixture."""

    @classmethod
    def of(cls, model: PromptMixture, dim: int, own_weight: float) -> BesideOthers:
        """Returns a model of one prompt with an attention gate; the prompt is shared with it.

        Args:
            model: an untrained model with one expert and no router.
            dim: dimensions of the features.
            own_weight: lambda.
        """
        device = next(model.prompts.parameters()).device
        made = cls(
            model.config, model.prompts, None, model.correction, model.logit_scale, 1,
            precision=model.precision,
        )  # fmt: skip
        made.attention = AttentionGate(dim).to(device)
        made.own_weight = own_weight
        return made

    def router_parameters(self) -> list[nn.Parameter]:
        """Returns the parameters of the attention gate."""
        return list(self.attention.parameters())

    def rests(self, name: str) -> bool:
        """Returns whether a parameter is the gate's while there is nothing to mix."""
        return self.others is None and name.startswith("attention.")

    def forward(self, image_features: Tensor, soft: Tensor) -> Mixture:
        """Returns the own prompt's logits, or with others' prompts both parts' sum.

        `lambda s <f, t_own> + s <pool f, g>`, where g is the gate's mixed text feature.

        Args:
            image_features: (batch, dim), L2-normalised.
            soft: (1, classes, dim), the own prompt's text features.
        """
        own = super().forward(image_features, soft)
        if self.others is None:
            return own
        texts = torch.cat([soft, self.others])
        mixed, weights = self.attention(image_features, texts)
        pooled = self.attention.pool(image_features)
        beside = self.logit_scale * torch.einsum("bd,bcd->bc", pooled, mixed)
        logits = self.own_weight * own.logits + beside
        answers = self.logit_scale * torch.einsum("bd,gcd->bgc", image_features, texts)
        return Mixture(F.pad(own.scores, (0, len(self.others))), weights, answers, logits)
