"""Who holds which images: a data set's few-shot training and test images, spread over clients.

Sources: pFedMoAP (arXiv 2410.10114) for the classes of a client and for label shares from a
Dirichlet distribution; a client per style is its feature shift.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from mocoop.config import TrainConfig
from mocoop.datasets.base import Dataset, Item
from mocoop.datasets.splits import few_shot_items
from mocoop.errors import UserError, choose_from
from mocoop.storage.atomic import write_json
from mocoop.storage.formats import NewerError, check_format

FORMAT = 1
LEAST = 2  # images of a client; with one there is nothing to train on in turns


@dataclass(frozen=True)
class Share:
    """One client's images, as identifiers of the data set's items."""

    name: str
    train: tuple[str, ...]
    test: tuple[str, ...]


@dataclass(frozen=True)
class Partition:
    """A data set's images spread over clients; no image belongs to two."""

    data: str
    kind: str
    """One of `KINDS`."""
    seed: int
    clients: tuple[Share, ...]

    def __post_init__(self) -> None:
        names = [client.name for client in self.clients]
        if len(set(names)) < len(names):
            raise UserError("Two clients of the partition have the same name.")
        for part in ("train", "test"):
            owned = [image for client in self.clients for image in getattr(client, part)]
            if len(set(owned)) < len(owned):
                raise UserError(f"A {part} image of the partition belongs to two clients.")
        poor = [c.name for c in self.clients if len(c.train) < LEAST or not c.test]
        if poor:
            raise UserError(
                f"{', '.join(poor)} would have fewer than {LEAST} training images or no test "
                "image. Choose fewer clients, more shots, or a larger beta."
            )

    def items(self, dataset: Dataset, part: str) -> list[list[Item]]:
        """Returns each client's items of the data set's `train` or `test` images.

        Raises:
            UserError: if the data set lacks an image that the partition names.
        """
        known = {item.id: item for item in dataset.items(part)}
        found = []
        for client in self.clients:
            wanted = getattr(client, part)
            missing = [image for image in wanted if image not in known]
            if missing:
                raise UserError(
                    f"{client.name} holds {missing[0]!r}, which is no {part} image of "
                    f"{dataset.name}. Use the partition with the data set that it was made for."
                )
            found.append([known[image] for image in wanted])
        return found

    def to_dict(self) -> dict[str, Any]:
        """Returns the partition as plain values."""
        return {"format": FORMAT, **asdict(self)}

    def save(self, path: Path) -> None:
        """Writes the partition as JSON, whole or not at all."""
        write_json(path, self.to_dict())


def open_partition(path: Path) -> Partition:
    """Returns a saved partition.

    Raises:
        UserError: if the file is missing or is no partition.
    """
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        return from_json(content, path)
    except NewerError:
        raise
    except FileNotFoundError as error:
        raise UserError(f"There is no partition {path}.") from error
    except (OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(
            f"{path} is no partition of images over clients ({error}). Write one with "
            "`mocoop federated --save-partition`."
        ) from error


def from_json(content: Mapping[str, Any], path: Path = Path("partition")) -> Partition:
    """Returns the partition that `to_dict` returned as plain values.

    Args:
        content: the plain values.
        path: the file that they are from, for messages.

    Raises:
        NewerError: for a partition that a newer version wrote.
        KeyError, TypeError, ValueError: for values of another form.
        UserError: for a partition that cannot be used.
    """
    check_format({"format": content["format"]}, FORMAT, path, "Partition")
    clients = tuple(
        Share(str(c["name"]), tuple(map(str, c["train"])), tuple(map(str, c["test"])))
        for c in content["clients"]
    )
    return Partition(str(content["data"]), str(content["kind"]), int(content["seed"]), clients)


def make_partition(
    kind: str, dataset: Dataset, config: TrainConfig, clients: int, beta: float = 0.5
) -> Partition:
    """Returns a seeded partition of a data set's few-shot training images and its test images.

    Args:
        kind: `pathological`: every client has classes of its own. `dirichlet`: every class is
            spread by shares that a Dirichlet distribution draws. `domain`: every client has
            images of one style; with more clients than styles, several share a style, each with
            label shares from a Dirichlet distribution.
        dataset: the data.
        config: gives the few-shot selection (`shots`, `seed`) and the seed of the partition.
        clients: the number of clients.
        beta: concentration of the Dirichlet distribution; smaller is more unequal.

    Raises:
        UserError: if a client would have no images, or data without styles are parted by style.
    """
    if kind not in KINDS:
        raise choose_from("partition", kind, KINDS)
    if clients < 2:
        raise UserError(f"A federation needs at least 2 clients; got {clients}.")
    if not beta > 0:
        raise UserError(f"beta must be greater than 0; got {beta}.")
    train, _ = few_shot_items(config, dataset)
    if clients * LEAST > len(train):
        raise UserError(
            f"{clients} clients cannot share {len(train)} training images: each needs at least "
            f"{LEAST}. Choose fewer clients or more shots."
        )
    generator = np.random.default_rng(config.seed)
    owners = _MAKERS[kind](dataset, clients, beta, generator)
    parts = {"train": owners(train), "test": owners(list(dataset.items("test")))}
    shares = tuple(
        Share(
            f"client {number + 1}",
            *(
                tuple(item.id for item, owner in zip(items, parts[part], strict=True)
                      if owner == number)
                for part, items in (("train", train), ("test", dataset.items("test")))
            ),
        )
        for number in range(clients)
    )  # fmt: skip
    return Partition(dataset.source, kind, config.seed, shares)


Owners = Callable[[Sequence[Item]], list[int]]


def _by_class(
    dataset: Dataset, clients: int, beta: float, generator: np.random.Generator
) -> Owners:
    """Returns the owner of each item: the classes, in random order, are cut into equal blocks."""
    classes = len(dataset.class_names)
    if clients > classes:
        raise UserError(
            f"{dataset.name} has {classes} classes, so {clients} clients cannot have classes of "
            "their own. Choose fewer clients, or partition dirichlet."
        )
    owner = np.empty(classes, dtype=int)
    for number, block in enumerate(np.array_split(generator.permutation(classes), clients)):
        owner[block] = number
    return lambda items: [int(owner[item.label]) for item in items]


def _by_shares(
    dataset: Dataset, clients: int, beta: float, generator: np.random.Generator
) -> Owners:
    """Returns the owner of each item: each class has shares from a Dirichlet distribution."""
    classes = len(dataset.class_names)
    shares = generator.dirichlet([beta] * clients, size=classes)  # (classes, clients)
    return lambda items: _spread(items, shares, generator)


def _by_style(
    dataset: Dataset, clients: int, beta: float, generator: np.random.Generator
) -> Owners:
    """Returns the owner of each item: each client has one style."""
    styles = dataset.styles
    if len(styles) < 2:
        raise UserError(
            f"The images of {dataset.name} are not of several known styles. Choose partition "
            "pathological or dirichlet."
        )
    if clients < len(styles):
        raise UserError(
            f"{dataset.name} has {len(styles)} styles; every client has one, so there must be at "
            f"least {len(styles)} clients."
        )
    blocks = np.array_split(np.arange(clients), len(styles))
    shares = np.zeros((len(styles), len(dataset.class_names), clients))
    for number, block in enumerate(blocks):
        drawn = generator.dirichlet([beta] * len(block), size=len(dataset.class_names))
        shares[number][:, block] = drawn

    def owners(items: Sequence[Item]) -> list[int]:
        found = [-1] * len(items)
        for number, style in enumerate(styles):
            own = [index for index, item in enumerate(items) if item.style == style]
            placed = _spread([items[index] for index in own], shares[number], generator)
            for index, owner in zip(own, placed, strict=True):
                found[index] = owner
        return found

    return owners


def _spread(
    items: Sequence[Item], shares: np.ndarray, generator: np.random.Generator
) -> list[int]:
    """Returns the owner of each item; each class is shuffled and cut by its clients' shares.

    Args:
        items: the items.
        shares: (classes, clients), each row sums to 1.
        generator: shuffles.
    """
    owners = [-1] * len(items)
    for label, row in enumerate(shares):
        members = [index for index, item in enumerate(items) if item.label == label]
        order = generator.permutation(len(members))
        cuts = np.round(np.cumsum(row)[:-1] * len(members)).astype(int)
        for number, part in enumerate(np.split(order, cuts)):
            for place in part:
                owners[members[place]] = number
    return owners


_MAKERS = {"pathological": _by_class, "dirichlet": _by_shares, "domain": _by_style}
KINDS = tuple(_MAKERS)
"""Ways to spread images over clients."""
