"""A federation's folder: settings, partition, records, and the state from which it goes on.

federation.json     format, settings, partition and version
state.safetensors   the state after the last finished round, with the records of all rounds
records.json        instead of the state, in a copy that is only looked at: the records alone

The state is replaced as a whole after every round, so that a stopped federation goes on after its
last finished round with the same numbers.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from safetensors import SafetensorError, safe_open

from mocoop import __version__
from mocoop.assets import check_if_shipped
from mocoop.errors import UserError
from mocoop.federated.federation import Federation, RoundRecord
from mocoop.federated.partitions import Partition, from_json
from mocoop.federated.server import State
from mocoop.federated.settings import FederatedConfig
from mocoop.storage.atomic import exclusive_lock, read_tensors, write_json, write_tensors
from mocoop.storage.formats import NewerError, check_format

FORMAT = 1  # increase it when an old reader would misread a new federation
DESCRIPTION, STATE, RECORDS = "federation.json", "state.safetensors", "records.json"
TRAINING = "training"  # what is locked meanwhile; there is no such file
SHARED, POOL, CLIENT = "shared", "pool", "client"


def run_federation(
    path: Path,
    config: FederatedConfig | None = None,
    partition: Partition | None = None,
    wait: bool = False,
) -> Iterator[RoundRecord]:
    """Trains a federation in a folder; yields the records of the rounds that are new.

    A folder that holds an unfinished federation goes on after its last finished round. One
    process at a time trains it: it is locked until the iterator ends or is closed.

    Args:
        path: the folder.
        config: the settings; those of the folder if None.
        partition: who holds which images; that of the folder, or one made from the settings.
        wait: whether to wait for another process that trains it, and then go on from there.

    Raises:
        UserError: if the folder holds a federation with other settings, is damaged, or, without
            `wait`, is being trained already on this machine.
    """
    taken = (
        f"The federation in {path} is being trained already. Wait until that has ended, or give "
        "another folder."
    )
    # Of its own: the folder's lock is held for moments, by those who start and list federations.
    with exclusive_lock(path / TRAINING, taken=None if wait else taken):
        federation, records = _opened(path, config, partition)
        for record in federation.run():
            records.append(record)
            _save(federation, records, path)
            yield record


def _opened(
    path: Path, config: FederatedConfig | None, partition: Partition | None
) -> tuple[Federation, list[RoundRecord]]:
    """Returns the federation as it was after its last finished round, or a new one."""
    if (path / DESCRIPTION).exists():
        if (path / RECORDS).exists():
            raise UserError(
                f"{path} holds the records of a federation without its parameters, so it cannot "
                "go on. Give another folder."
            )
        kept, kept_partition = read_description(path)
        if config not in (None, kept) or partition not in (None, kept_partition):
            raise UserError(
                f"{path} holds a federation with other settings. Give another folder, or leave "
                "the settings out to continue this one."
            )
        federation = Federation(kept, kept_partition)
        return federation, _restore(federation, path) if (path / STATE).exists() else []
    if config is None:
        raise UserError(f"There is no federation in {path}.")
    federation = Federation(config, partition)
    path.mkdir(parents=True, exist_ok=True)
    _write_description(path, config, federation.partition)
    return federation, []


def read_description(path: Path) -> tuple[FederatedConfig, Partition]:
    """Returns the settings and the partition of a federation's folder.

    Raises:
        UserError: if there are none, or they are damaged.
    """
    check_if_shipped(path / DESCRIPTION)
    try:
        content = json.loads((path / DESCRIPTION).read_text(encoding="utf-8"))
        check_format(content, FORMAT, path, "Federation", default=1)
        partition = from_json(content["partition"], path / DESCRIPTION)
        return FederatedConfig.from_dict(content["settings"]), partition
    except NewerError:
        raise
    except (AttributeError, OSError, ValueError, TypeError, KeyError, RecursionError) as error:
        raise UserError(f"{path / DESCRIPTION} describes no federation ({error}).") from error


def read_records(path: Path) -> list[RoundRecord]:
    """Returns the records of all finished rounds.

    Raises:
        UserError: if the file is damaged, or a newer version wrote the federation.
    """
    if (path / DESCRIPTION).exists():
        read_description(path)
    file = next((path / name for name in (STATE, RECORDS) if (path / name).exists()), None)
    if file is None:
        return []
    check_if_shipped(file)
    try:
        if file.name == STATE:
            with safe_open(file, "pt") as opened:
                text = opened.metadata()["records"]
        else:
            text = file.read_text(encoding="utf-8")
        content: dict[str, Any] = json.loads(text)
        return [record_of(values) for values in content["records"]]
    except (SafetensorError, AttributeError, OSError, ValueError, TypeError, KeyError,
            RecursionError) as error:  # fmt: skip
        raise UserError(f"{file} is damaged ({error}). Start the federation anew.") from error


def copy_to_look_at(path: Path, out: Path) -> None:
    """Writes settings, partition and records of a federation to another folder.

    The copy is small, and has nothing that a client learned.

    Args:
        path: the federation's folder.
        out: the folder of the copy, which is made.

    Raises:
        UserError: if there is no federation, or it is damaged.
    """
    config, partition = read_description(path)
    records = read_records(path)
    out.mkdir(parents=True, exist_ok=True)
    _write_description(out, config, partition)
    write_json(out / RECORDS, _plain(records))


def _write_description(path: Path, config: FederatedConfig, partition: Partition) -> None:
    description = {"settings": config.to_dict(), "partition": partition.to_dict()}
    about = {"format": FORMAT, "version": __version__, **description}
    write_json(path / DESCRIPTION, about)


def _plain(records: list[RoundRecord]) -> dict[str, Any]:
    return {"records": [asdict(record) for record in records]}


def record_of(values: dict[str, Any]) -> RoundRecord:
    """Returns the record of JSON values that `dataclasses.asdict` made of one.

    Raises:
        TypeError, KeyError: if they are of something else.
    """
    foreign = {name: tuple(taken) for name, taken in values["foreign"].items()}
    return RoundRecord(**values | {"took_part": tuple(values["took_part"]), "foreign": foreign})


def _save(federation: Federation, records: list[RoundRecord], path: Path) -> None:
    """Writes the state after the last record's round."""
    parts: dict[str, State] = {SHARED: federation.server.shared}
    parts |= {f"{POOL}/{name}": state for name, state in federation.server.pool.items()}
    parts |= {f"{CLIENT}/{client.name}": client.state() for client in federation.clients}
    tensors = {f"{part}//{name}": v for part, state in parts.items() for name, v in state.items()}
    text = json.dumps(_plain(records))
    write_tensors(path / STATE, tensors, {"records": text})


def _restore(federation: Federation, path: Path) -> list[RoundRecord]:
    """Restores the state after the last finished round, and returns all records."""
    records = read_records(path)
    parts: dict[str, State] = {}
    for key, value in read_tensors(path / STATE).items():
        part, _, name = key.rpartition("//")  # a client's name may have it too
        parts.setdefault(part, {})[name] = value
    federation.server.shared = parts.get(SHARED, {})
    federation.server.pool = {
        part.removeprefix(f"{POOL}/"): state
        for part, state in parts.items()
        if part.startswith(f"{POOL}/")
    }
    for client in federation.clients:
        kept = parts.get(f"{CLIENT}/{client.name}")
        if kept is None:
            raise UserError(
                f"{path / STATE} lacks the parameters of {client.name}. Start the federation anew."
            )
        client.restore(kept)
    federation.done = records[-1].number
    for record in records:
        federation.asked.update(record.took_part)
    federation.started = True
    return records
