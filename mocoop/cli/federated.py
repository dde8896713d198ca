"""The command federated: clients that keep their images train prompts together."""

from __future__ import annotations

import statistics
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from mocoop.cli.console import print_json
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.federated.federation import RoundRecord
    from mocoop.federated.partitions import Partition
    from mocoop.federated.settings import FederatedConfig


@dataclass(frozen=True)
class FederatedCommand:
    """Simulate clients that train prompts together without showing their images to each other.

    Prints the mean and the lowest accuracy of the clients on their own test images after every
    round. With --folder a stopped federation goes on: run the same command again.

    Examples:
        mocoop federated --data albums --strategy mocoop --partition dirichlet
        mocoop federated --data albums --strategy pfedmoap --partition domain --clients 9
        mocoop federated --folder federations/one
    """

    data: str = "albums"
    """A built-in set, or a folder of images."""
    strategy: str = "pfedmoap"
    """What travels: local (nothing), fedavg, pfedmoap, mocoop-local, mocoop, mocoop-average."""
    clients: int = 10
    """Number of clients."""
    partition: str = "pathological"
    """How images are spread: pathological (own classes), dirichlet (label shares), domain (own
    style), or a file that --save-partition wrote."""
    beta: float = 0.5
    """Concentration of the label shares; smaller is more unequal."""
    rounds: int = 10
    """Number of rounds."""
    local_epochs: int = 5
    """Epochs that a client trains in a round."""
    shots: int = 16
    """Training images per class, of all clients together."""
    participation: float = 1.0
    """Share of the clients that take part in a round."""
    foreign: int = 9
    """pfedmoap: number of other clients' prompts that a client receives."""
    seed: int = 1
    """Seed of the images, of the partition and of the training."""
    learning_rate: float = 0.0
    """Learning rate of the prompts; 0 takes the method's own."""
    clip: float = 0.0
    """Largest change (L2 norm) that a client sends; a longer one is shortened. 0: any."""
    noise: float = 0.0
    """Standard deviation of the noise on each number that a client sends, in units of --clip."""
    delta: float = 1e-5
    """Delta of differential privacy; with noise, every round tells its epsilon."""
    engine: Literal["local", "flower"] = "local"
    """`local` trains in this process; `flower` in Flower's simulation, to the same numbers, or on
    the nodes of --address."""
    address: str = ""
    """flower: host and port of a running SuperLink, such as 127.0.0.1:8000. Each of its nodes is
    one client: --node-config 'partition-id=0' and so on."""
    certificate: Path | None = None
    """flower: root certificate (PEM) for the SuperLink of another machine."""
    answer_seconds: float = 3600.0
    """flower: a client that has not answered by then is left out of the round."""
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    folder: Path | None = None
    """Folder that keeps the federation, so that it can be continued."""
    save_partition: Path | None = None
    """Write who holds which images to this file, and train nothing."""
    json: bool = False
    """Print one JSON document."""


def federated(command: FederatedCommand) -> None:
    """Simulates a federation, or writes its partition."""
    if command.save_partition is not None:
        check_file("--save-partition", command.save_partition)
    _check_engine(command)
    from mocoop.datasets import absolute_source, load_dataset
    from mocoop.federated.federation import Federation
    from mocoop.federated.partitions import KINDS, make_partition, open_partition
    from mocoop.federated.settings import FederatedConfig
    from mocoop.federated.store import DESCRIPTION, read_records, run_federation

    goes_on = command.folder is not None and (command.folder / DESCRIPTION).exists()
    if goes_on and command == FederatedCommand(folder=command.folder, json=command.json):
        assert command.folder is not None
        _show(command, list(read_records(command.folder)), run_federation(command.folder))
        return
    saved: Partition | None = None
    kind = command.partition
    # The nodes of Flower have the data under the same name, each in its own folder.
    data = command.data if command.address else absolute_source(command.data)
    if kind not in KINDS and (Path(kind).suffix == ".json" or Path(kind).is_file()):
        saved = open_partition(Path(kind))
        _check_partition(command, saved, data)
        kind, data = saved.kind, saved.data
    config = FederatedConfig(
        data=data,
        strategy=command.strategy,
        clients=command.clients if saved is None else len(saved.clients),
        partition=kind,
        beta=command.beta,
        rounds=command.rounds,
        local_epochs=command.local_epochs,
        shots=command.shots,
        participation=command.participation,
        foreign=command.foreign,
        clip=command.clip,
        noise=command.noise,
        delta=command.delta,
        learning_rate=command.learning_rate,
        seed=command.seed,
        backbone=command.backbone,
    )
    if command.save_partition is not None:
        dataset = load_dataset(config.data)
        made = saved or make_partition(
            kind, dataset, config.training(), config.clients, config.beta
        )
        made.save(command.save_partition)
        held = [len(client.train) for client in made.clients]
        print(
            f"{command.save_partition}: {len(held)} clients with {min(held)} to {max(held)} "
            "training images"
        )
    elif command.engine == "flower":
        _on_flower(command, config, saved)
    elif command.folder is None:
        _show(command, [], Federation(config, saved).run())
    else:
        before = list(read_records(command.folder))
        _show(command, before, run_federation(command.folder, config, saved))


def _check_engine(command: FederatedCommand) -> None:
    """Raises UserError for an option that has no effect on the engine."""
    usual = FederatedCommand()
    for name in ("address", "certificate", "answer_seconds"):
        if command.engine != "flower" and getattr(command, name) != getattr(usual, name):
            option = f"--{name.replace('_', '-')}"
            raise UserError(f"{option} goes with --engine flower. Add it, or leave {option} out.")
    if command.certificate is not None and not command.address:
        raise UserError("--certificate goes with --address. Add it, or leave --certificate out.")
    if not 0 < command.answer_seconds < float("inf"):
        raise UserError(
            f"--answer-seconds must be greater than 0; got {command.answer_seconds:g}."
        )


def _check_partition(command: FederatedCommand, saved: Partition, data: str) -> None:
    """Raises UserError for options that contradict a saved partition."""
    from mocoop.datasets import absolute_source

    usual = FederatedCommand()
    given = {"data": data, "clients": command.clients, "beta": command.beta}
    held = {"data": absolute_source(saved.data), "clients": len(saved.clients), "beta": usual.beta}
    for name, value in given.items():
        if value not in (held[name], getattr(usual, name)):
            raise UserError(
                f"{command.partition} says who holds which images, so --{name} {value} has no "
                f"effect. Leave it out, or name a way to spread them with --partition."
            )


def _on_flower(
    command: FederatedCommand, config: FederatedConfig, saved: Partition | None
) -> None:
    """Trains in Flower's simulation or on its nodes; prints every record when it is there."""
    from mocoop.federated.flower import simulate
    from mocoop.federated.flower_nodes import train_on_nodes

    if command.folder is not None:
        raise UserError(
            "--engine flower keeps no folder: its clients keep their own parameters. Leave "
            "--folder out, or use --engine local."
        )

    def tell(record: RoundRecord) -> None:
        if not command.json:
            _line(record)

    if command.address:
        records = train_on_nodes(
            command.address, config, saved, tell, command.certificate, command.answer_seconds
        )
    else:
        records = simulate(config, saved, tell, command.answer_seconds)
    _sum_up(command, records)


def _show(
    command: FederatedCommand, before: list[RoundRecord], new: Iterator[RoundRecord]
) -> None:
    """Prints records, those of earlier calls first, and then the mean of the last rounds."""
    records = []
    for record in chain(before, new):
        records.append(record)
        if not command.json:
            _line(record)
    _sum_up(command, records)


def _line(record: RoundRecord) -> None:
    """Prints a record: the mean and the lowest accuracy, epsilon, and what was left out."""
    lowest = min(record.accuracies, key=lambda name: record.accuracies[name])
    line = f"round {record.number:>3}: {record.mean:6.2f} % mean of clients"
    line += f", lowest {record.accuracies[lowest]:.1f} % ({lowest})"
    if record.epsilon is not None:
        line += f", epsilon {record.epsilon:.3g}"
    print(line, flush=True)
    for name, why in record.refused.items():
        print(f"  {name}: left out, because {why}", flush=True)


def _sum_up(command: FederatedCommand, records: list[RoundRecord]) -> None:
    """Prints the mean of the last rounds, or everything as JSON."""
    from mocoop.federated.comparison import LAST

    if not records:
        raise UserError("The federation has no rounds.")
    last = [record.mean for record in records if record.number > 0][-LAST:]
    if command.json:
        print_json([asdict(record) | {"mean": record.mean} for record in records])
    elif last:
        spread = f" ± {statistics.stdev(last):.2f}" if len(last) > 1 else ""
        print(f"mean of the last {len(last)} rounds: {statistics.fmean(last):.2f}{spread} %")
