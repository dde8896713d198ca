"""The command federated-table: many federations, and the tables of their accuracies."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Annotated

import tyro

from mocoop.cli.console import print_json
from mocoop.cli.many_runs import EngineOptions
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_file, check_folder
from mocoop.runs.paths import federations


@dataclass(frozen=True)
class FederatedTableCommand:
    """Train federations of several partitions, strategies and seeds, and print their tables.

    Finished federations are not repeated, and stopped ones go on after their last round: run the
    same command again. The app's page Federated shows them too.

    Examples:
        mocoop federated-table --data albums --workers 2
        mocoop federated-table --partitions dirichlet --strategies local mocoop --seeds 1 2
    """

    data: str = "albums"
    """A built-in set, or a folder of images."""
    partitions: tuple[str, ...] = ("pathological", "dirichlet", "domain")
    """How images are spread: pathological (own classes), dirichlet (label shares), domain (own
    style)."""
    strategies: tuple[str, ...] = ("local", "fedavg", "pfedmoap", "mocoop-local", "mocoop")
    """What travels: local (nothing), fedavg, pfedmoap, mocoop-local, mocoop, mocoop-average."""
    seeds: tuple[int, ...] = (1, 2, 3)
    """Seeds of images, partition and training; one federation each."""
    clients: int = 10
    """Number of clients."""
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
    backbone: str = "demo"
    """`demo`, an open_clip NAME/TAG, or the path of a local checkpoint."""
    root: MaybePath = None
    """Folder of the federations; by default `federated` in MOCOOP_RUNS or ./runs."""
    out: MaybePath = None
    """Also copy every federation to this folder, without what was learned: small copies, which
    the app's page Federated shows."""
    markdown: MaybePath = None
    """Also write the tables to this Markdown file."""
    engine: Annotated[EngineOptions, tyro.conf.arg(name="")] = field(default_factory=EngineOptions)
    json: bool = False
    """Print settings and accuracy of every federation as one JSON document."""


def federated_table(command: FederatedTableCommand) -> None:
    """Trains the federations and prints their tables."""
    check_file("--markdown", command.markdown)
    check_folder("--out", command.out)
    from tqdm import tqdm

    from mocoop.federated.comparison import Comparison, compare, folder_name, last_accuracy
    from mocoop.federated.settings import FederatedConfig
    from mocoop.federated.store import copy_to_look_at
    from mocoop.results.federated_tables import federated_tables
    from mocoop.results.markup import to_markdown
    from mocoop.storage.atomic import write_text

    settings = FederatedConfig(
        data=command.data,
        strategy=command.strategies[0] if command.strategies else "local",
        clients=command.clients,
        beta=command.beta,
        rounds=command.rounds,
        local_epochs=command.local_epochs,
        shots=command.shots,
        participation=command.participation,
        foreign=command.foreign,
        backbone=command.backbone,
    )
    comparison = Comparison(command.partitions, command.strategies, command.seeds, settings)
    order = comparison.configs()
    found = {}
    root, engine = command.root or federations(), command.engine.chosen()
    with tqdm(total=len(order), unit="federation", disable=command.json) as bar:
        for config, records in compare(comparison, root, engine):
            found[config] = last_accuracy(records)
            if command.out is not None:
                name = folder_name(config)
                copy_to_look_at(root / name, command.out / name)
            bar.update()
            bar.set_description(f"{config.partition} {config.strategy}")
    results = [(config, found[config]) for config in order]
    markdown = "\n".join(map(to_markdown, federated_tables(results)))
    if command.markdown is not None:
        write_text(command.markdown, markdown)
    if command.json:
        print_json([asdict(config) | {"accuracy": accuracy} for config, accuracy in results])
    else:
        print(markdown, end="")
