"""A client: its own images, its private parameters, and its training in a round."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import islice

import torch
from torch import Tensor

from mocoop.classifiers.base import accuracy_of
from mocoop.clip.text_tower import TextTower
from mocoop.config import TrainConfig
from mocoop.federated.attention_gate import BesideOthers
from mocoop.federated.privacy import noise_generator, privatize
from mocoop.federated.server import State, Update
from mocoop.federated.strategies import Strategy
from mocoop.model.mixture import PromptMixture, predict
from mocoop.prompt_encoder.layout import ClassTokens
from mocoop.training.data import TrainingData
from mocoop.training.loop import fit

OTHERS = "others"  # the name of the foreign text features in a client's state


@dataclass
class Client:
    """One client of a federation.

    Args:
        name: its name in the partition.
        strategy: what it trains, and which of it travels.
        config: the settings of its training.
        model: its untrained model.
        tower: the frozen text tower.
        data: its training images, with the names of all classes.
        test_features: (images, dim), L2-normalised, of its own test images.
        test_labels: (images,).
        local_epochs: epochs of a round.
        clip: largest norm of the change that is sent; 0 for any.
        noise: of the numbers that are sent, in units of `clip`; 0 for none.
    """

    name: str
    strategy: Strategy
    config: TrainConfig
    model: PromptMixture
    tower: TextTower
    data: TrainingData
    test_features: Tensor
    test_labels: Tensor
    local_epochs: int
    clip: float = 0.0
    noise: float = 0.0

    @property
    def images(self) -> int:
        """The number of training images."""
        return len(self.data.train_labels)

    def train(self, number: int, shared: State, foreign: Sequence[State] = ()) -> Update:
        """Trains for one round and returns what travels to the server.

        Optimiser and random numbers are new in every round and of this client alone. The learning
        rate follows the method's schedule over the epochs of all rounds.

        Args:
            number: the round, from 1.
            shared: the server's parameters, which replace the client's own of the same names.
            foreign: other clients' prompts, for a strategy with foreign prompts.

        Raises:
            DivergedError: when a loss is no longer finite.
        """
        self.load(shared)
        if isinstance(self.model, BesideOthers):
            self._meet(foreign)
        done = (number - 1) * self.local_epochs
        records = fit(
            self.model, self.tower, self.data, self.config, self._generator(number), done=done
        )
        count = self.local_epochs + (done == 0)  # the first training also yields epoch 0
        for _ in islice(records, count):
            pass
        sent = self.travelling()
        if self.clip:
            noise = noise_generator(self.config.seed, self.name, number)
            sent = privatize(sent, shared, self.clip, self.noise, noise)
        return Update(self.name, self.images, sent)

    def load(self, shared: State) -> None:
        """Replaces the parameters of the same names."""
        own = dict(self.model.named_parameters())
        with torch.no_grad():
            for name, value in shared.items():
                own[name].copy_(value)

    def travelling(self) -> State:
        """Returns copies of the parameters that leave the client, on the CPU."""
        return {
            name: value.detach().cpu().clone()
            for name, value in self.model.named_parameters()
            if value.requires_grad and self.strategy.travels(name)
        }

    def accuracy(self) -> float:
        """Returns the accuracy on the own test images among all classes, in percent."""
        mixture = predict(self.model, self.tower, self._classes(), self.test_features)
        return accuracy_of(mixture.logits, self.test_labels)

    def state(self) -> State:
        """Returns all that the client keeps between rounds, by name."""
        kept = {name: value.detach().cpu().clone() for name, value in self._parameters().items()}
        if isinstance(self.model, BesideOthers) and self.model.others is not None:
            kept[OTHERS] = self.model.others.cpu().clone()
        return kept

    def restore(self, state: State) -> None:
        """Restores what `state` returned."""
        self.load({name: value for name, value in state.items() if name != OTHERS})
        if isinstance(self.model, BesideOthers):
            others = state.get(OTHERS)
            self.model.others = None if others is None else others.to(self.test_features.device)

    @torch.no_grad()
    def _meet(self, foreign: Sequence[State]) -> None:
        """Encodes other clients' prompts, which stay fixed during the round."""
        assert isinstance(self.model, BesideOthers)
        own, texts = self.travelling(), []
        for state in foreign:
            self.load(state)
            texts.append(self.model.text_features(self.tower, self._classes()))
        self.load(own)
        self.model.others = torch.cat(texts) if texts else None

    def _parameters(self) -> dict[str, Tensor]:
        return {n: v for n, v in self.model.named_parameters() if v.requires_grad}

    def _classes(self) -> ClassTokens:
        return ClassTokens.from_names(self.tower.tokens, self.data.class_names)

    def _generator(self, number: int) -> torch.Generator:
        """Returns the random numbers of a round, which depend on seed, client and round alone."""
        text = f"{self.config.seed}/{self.name}/{number}"
        seed = int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")
        return torch.Generator().manual_seed(seed)
