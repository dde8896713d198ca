"""TaskRes, CLIP-Adapter and LP++ in plain words, one image and one class at a time.

Written from the papers and from what the released programs are known to do; nothing of the
library is used. Gradients come from autograd.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn


def unit(vector):
    """Returns a vector of length 1."""
    return vector / vector.norm(dim=-1, keepdim=True)


class TaskRes:
    """One vector per class, added to the raw text feature.

    Args:
        base: raw text features, (classes, dim).
        ratio: factor of the vectors.
        scale: CLIP's logit scale.
    """

    def __init__(self, base, ratio, scale):
        self.base, self.ratio, self.scale = base, ratio, scale
        self.residual = torch.zeros_like(base).requires_grad_()
        self.learned = [self.residual]

    def logits(self, images):
        """Returns logits (images, classes) of raw or normalised image features."""
        rows = []
        for image in images:
            texts = [
                unit(t + self.ratio * x) for t, x in zip(self.base, self.residual, strict=True)
            ]
            rows.append(torch.stack([self.scale * unit(image) @ text for text in texts]))
        return torch.stack(rows)

    def optimizer(self, rate, decay):
        """Returns Dassl's Adam."""
        return torch.optim.Adam(self.learned, lr=rate, betas=(0.9, 0.999), weight_decay=decay)


class CLIPAdapter:
    """Two layers without bias, a ReLU after both, blended with the image feature.

    Args:
        texts: normalised text features, (classes, dim).
        ratio: share of the network's output.
        scale: CLIP's logit scale.
        down: first weight of the first layer.
        up: first weight of the second layer.
    """

    def __init__(self, texts, ratio, scale, down, up):
        self.texts, self.ratio, self.scale = texts, ratio, scale
        dim, hidden = up.shape
        first, second = nn.Linear(dim, hidden, bias=False), nn.Linear(hidden, dim, bias=False)
        first.weight.data, second.weight.data = down.clone(), up.clone()
        self.network = nn.Sequential(first, nn.ReLU(), second, nn.ReLU())
        self.learned = list(self.network.parameters())

    def logits(self, images):
        """Returns logits (images, classes) of image features as the tower gives them."""
        rows = []
        for image in images:
            mixed = self.ratio * self.network(image) + (1 - self.ratio) * image
            rows.append(torch.stack([self.scale * unit(mixed) @ text for text in self.texts]))
        return torch.stack(rows)

    def optimizer(self, rate, decay):
        """Returns Dassl's SGD."""
        return torch.optim.SGD(self.learned, lr=rate, momentum=0.9, weight_decay=decay)


class LPPlusPlus:
    """A linear layer and one weight of the text per class, with step sizes of its own.

    Args:
        images: normalised features of the training images, (images, dim).
        labels: (images,).
        texts: normalised text features, (classes, dim).
        factor: 250 in the released program.
    """

    def __init__(self, images, labels, texts, factor=250.0):
        self.images, self.labels, self.texts = images, labels, texts
        rows, shares = [], []
        for label, text in enumerate(texts):
            own = [image for image, y in zip(images, labels, strict=True) if y == label]
            rows.append(sum(own, torch.zeros_like(text)))
            if own:
                shares.append(factor * sum(float(image @ text) for image in own) / len(own))
        self.weight = torch.stack(rows).requires_grad_()
        self.bias = torch.zeros(len(texts)).requires_grad_()
        self.blend = torch.full((len(texts),), sum(shares) / len(shares)).requires_grad_()
        number = len(images)
        largest = torch.linalg.eigvalsh((images.T @ images).double()).max().item()
        self.rate = 4 * number / largest
        most = max(sum(float(image @ text) ** 2 for image in images) for text in texts)
        self.blend_rate = number / (4 * most)

    @property
    def learned(self):
        return [self.weight, self.bias, self.blend]

    def logits(self, images):
        """Returns logits (images, classes) of normalised image features."""
        return torch.stack(
            [
                torch.stack(
                    [
                        image @ (w + a * t) + b
                        for w, b, a, t in zip(
                            self.weight, self.bias, self.blend, self.texts, strict=True
                        )
                    ]
                )
                for image in images
            ]
        )

    def run(self, steps):
        """Takes steps on all images; yields the gradients of each."""
        layer = torch.optim.SGD([self.weight, self.bias], lr=self.rate, momentum=0.9)
        for step in range(1, steps + 1):
            loss = F.cross_entropy(self.logits(self.images), self.labels)
            found = torch.autograd.grad(loss, self.learned)
            self.weight.grad, self.bias.grad = found[0], found[1]
            layer.step()
            if step % 10 == 0:
                with torch.no_grad():
                    self.blend -= self.blend_rate * found[2]
            yield found
