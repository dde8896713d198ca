"""Federations on Flower's own nodes: one server process and a process of each client.

The nodes run where their owners start them (`flower-superlink`, `flower-supernode`). This module
hands them a small app that imports MoCoOp, which every node has installed, and reads the records
from the log that Flower streams back.
"""

from __future__ import annotations

import ipaddress
import json
import os
import re
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

from mocoop.errors import UserError
from mocoop.federated.federation import RoundRecord
from mocoop.federated.flower import SECONDS, check_flower, partition_of, rounds_on
from mocoop.federated.partitions import Partition, from_json
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import record_of

CONNECT_SECONDS = 10.0
STOP_SECONDS = 30.0
DESCRIPTION = "federation.json"
RECORD, FAILED, DONE = "mocoop-record ", "mocoop-failed ", "mocoop-done"
_COMMAND = "from flwr.cli.app import app; app()"
_STARTED = re.compile(r"started run (\d+)")
_LINES_TOLD = 5  # the last of Flower's log, in the message about a run that ended early

_APP = f"""from pathlib import Path

from mocoop.federated.flower import client_app
from mocoop.federated.flower_nodes import server_app

client = client_app()
server = server_app(Path(__file__).with_name("{DESCRIPTION}"))
"""

_PROJECT = """[project]
name = "mocoop-federation"
version = "{version}"
license = "MIT"
dependencies = []

[tool.flwr.app]
publisher = "mocoop"

[tool.flwr.app.components]
serverapp = "federation_app:server"
clientapp = "federation_app:client"
"""


def train_on_nodes(
    address: str,
    config: FederatedConfig,
    partition: Partition | None,
    tell: Callable[[RoundRecord], None],
    certificate: Path | None = None,
    seconds: float = SECONDS,
) -> list[RoundRecord]:
    """Trains a federation on the nodes of a running SuperLink; returns all records.

    Every node has MoCoOp and the data under the same name, and its own `partition-id`.

    Args:
        address: host and port of the SuperLink, such as `127.0.0.1:8000`.
        config: the settings.
        partition: who holds which images; made from the settings if None. The app that goes to
            the nodes holds all of it.
        tell: is called with every record as soon as it arrives.
        certificate: the root certificate (PEM) that the SuperLink's is checked with. Without one
            the connection is not encrypted, which only an address of this machine may ask for.
        seconds: a client that has not answered by then is left out of the round.

    Raises:
        UserError: if Flower is missing, nothing answers at the address, the certificate is
            missing, the federation fails, or it ends before its last round.
    """
    check_flower()
    _check_address(address, certificate)
    partition = partition or partition_of(config)
    with tempfile.TemporaryDirectory(prefix="mocoop-flower-") as name:
        folder = Path(name)
        app = _write_app(folder / "app", config, partition, seconds)
        home = _write_home(folder / "home", address, certificate)
        with _flower_log(app, home) as lines:
            return _records(lines, tell)


def server_app(description: Path) -> Any:
    """Returns Flower's `ServerApp` of the federation that a file describes; it logs records."""
    check_flower()
    from flwr.serverapp import ServerApp

    app = ServerApp()

    @app.main()
    def main(grid: Any, context: Any) -> None:
        told = json.loads(description.read_text("utf-8"))
        config = FederatedConfig.from_dict(told["settings"])
        partition = from_json(told["partition"], description)
        try:
            for record in rounds_on(grid, config, partition, told["seconds"]).run():
                print(RECORD + json.dumps(asdict(record)), flush=True)
        except UserError as error:
            print(FAILED + json.dumps(str(error)), flush=True)
        else:
            print(DONE, flush=True)

    return app


def _check_address(address: str, certificate: Path | None) -> None:
    host, _, port = address.rpartition(":")
    host = host.strip("[]")
    if not host or not port.isdecimal() or not 0 < int(port) < 2**16:
        raise UserError(f"Expected an address such as 127.0.0.1:8000; got {address!r}.")
    if certificate is not None and not certificate.is_file():
        raise UserError(f"There is no certificate {certificate}.")
    if certificate is None and not _is_here(host):
        raise UserError(
            f"{host} is another machine, and without --certificate what travels would not be "
            "encrypted. Give the root certificate (PEM) of its SuperLink."
        )
    try:
        socket.create_connection((host, int(port)), CONNECT_SECONDS).close()
    except OSError as error:
        raise UserError(
            f"Nothing answers at {address} ({error}). Start flower-superlink there first."
        ) from error


def _is_here(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _write_app(
    folder: Path, config: FederatedConfig, partition: Partition, seconds: float
) -> Path:
    folder.mkdir()
    (folder / "pyproject.toml").write_text(_PROJECT.format(version=version("mocoop")), "utf-8")
    (folder / "federation_app.py").write_text(_APP, "utf-8")
    told = {
        "settings": config.to_dict(),
        "partition": partition.to_dict(),
        "seconds": seconds,
    }
    (folder / DESCRIPTION).write_text(json.dumps(told), "utf-8")
    return folder


def _write_home(folder: Path, address: str, certificate: Path | None) -> Path:
    """Writes a configuration of Flower's command line; the user's own is left alone."""
    folder.mkdir()
    lines = ["[superlink]", 'default = "here"', "[superlink.here]", f'address = "{address}"']
    if certificate is None:
        lines.append("insecure = true")
    else:
        lines.append(f"root-certificates = {json.dumps(str(certificate.resolve()))}")
    (folder / "config.toml").write_text("\n".join(lines), "utf-8")
    return folder


@contextmanager
def _flower_log(app: Path, home: Path) -> Iterator[Iterator[str]]:
    """Starts the app on the nodes and yields the lines of its log; at an error, stops it there."""
    variables = {**os.environ, "FLWR_HOME": str(home), "PYTHONUNBUFFERED": "1"}
    flower = [sys.executable, "-c", _COMMAND]
    process = subprocess.Popen(
        [*flower, "run", str(app), "here", "--stream"],
        env=variables,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    run: str | None = None

    def lines() -> Iterator[str]:
        nonlocal run
        assert process.stdout is not None
        for line in process.stdout:
            started = _STARTED.search(line)
            run = started[1] if started else run
            yield line.strip()

    try:
        yield lines()
    except BaseException:
        if run is not None:
            subprocess.run(
                [*flower, "stop", run, "here"],
                env=variables,
                capture_output=True,
                check=False,
                timeout=STOP_SECONDS,
            )
        raise
    finally:
        process.kill()
        process.wait()


def _records(lines: Iterator[str], tell: Callable[[RoundRecord], None]) -> list[RoundRecord]:
    """Returns the records of a log, up to its last.

    Raises:
        UserError: if the log says that the federation failed, or ends too early.
    """
    records: list[RoundRecord] = []
    other: list[str] = []
    for line in lines:
        if line.startswith(RECORD):
            records.append(record_of(json.loads(line.removeprefix(RECORD))))
            tell(records[-1])
        elif line.startswith(FAILED):
            raise UserError(json.loads(line.removeprefix(FAILED)))
        elif line == DONE:
            return records
        elif line:
            other.append(line)
    told = "\n".join(other[-_LINES_TOLD:])
    raise UserError(f"Flower ended before the last round. It said:\n{told}")
