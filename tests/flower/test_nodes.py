"""Federations on a real server and real client processes of Flower, over loopback.

Slow: Flower starts a process for every message, and each imports PyTorch.
"""

from __future__ import annotations

import datetime
import ipaddress
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from mocoop.errors import UserError
from mocoop.federated.federation import NO_ANSWER, Federation
from mocoop.federated.flower_nodes import train_on_nodes

pytest.importorskip("flwr")
pytestmark = [pytest.mark.flower, pytest.mark.timeout(900)]

PROGRAMS = Path(sys.executable).parent


def free_port() -> int:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        return server.getsockname()[1]


class Nodes:
    """A SuperLink and its SuperNodes, each a process group of its own."""

    def __init__(self, folder: Path, certificates: dict[str, Path] | None = None) -> None:
        self.folder, self.certificates = folder, certificates
        self.address = f"127.0.0.1:{free_port()}"
        self.clients: dict[int, subprocess.Popen] = {}
        safe = ["--insecure"]
        if certificates:
            safe = [f"--ssl-{name}={path}" for name, path in certificates.items()]
        port = self.address.split(":")[1]
        words = ["--port", port, "--disable-runtime-dependency-installation", *safe]
        self.server = self._start("flower-superlink", words)

    def add(self, number: int) -> None:
        """Starts the process of a client."""
        safe = ["--insecure"]
        if self.certificates:
            safe = ["--root-certificates", str(self.certificates["ca-certfile"])]
        words = ["--superlink", self.address, "--port", str(free_port()), *safe]
        words += ["--node-config", f"partition-id={number}"]
        self.clients[number] = self._start("flower-supernode", words)

    def kill(self, number: int) -> None:
        """Kills a client's process and those that it started."""
        os.killpg(self.clients.pop(number).pid, signal.SIGKILL)

    def close(self) -> None:
        for process in [*self.clients.values(), self.server]:
            os.killpg(process.pid, signal.SIGKILL)
            process.wait()

    def _start(self, program: str, words: list[str]) -> subprocess.Popen:
        log = self.folder / f"{program}-{len(self.clients)}.log"
        with log.open("wb") as out:
            return subprocess.Popen(
                [str(PROGRAMS / program), *words],
                stdout=out,
                stderr=out,
                start_new_session=True,
                env={
                    **os.environ,
                    "FLWR_HOME": str(self.folder / "flwr"),
                    "PATH": f"{PROGRAMS}:{os.environ['PATH']}",  # for those that they start
                },
            )


def until_it_answers(nodes: Nodes) -> None:
    host, port = nodes.address.split(":")
    while nodes.server.poll() is None:
        try:
            socket.create_connection((host, int(port)), 1).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError((nodes.folder / "flower-superlink-0.log").read_text())


def numbers(records):
    return [replace(record, seconds=0.0) for record in records]


@pytest.fixture
def nodes(tmp_path):
    with ExitStack() as stack:
        started = Nodes(tmp_path)
        stack.callback(started.close)
        for number in range(3):
            started.add(number)
        until_it_answers(started)
        yield started


@pytest.mark.parametrize("strategy", ["pfedmoap", "mocoop"])
def test_numbers_are_those_of_one_process(nodes, config, strategy):
    config = replace(config, strategy=strategy, rounds=2)
    told = []
    records = train_on_nodes(nodes.address, config, None, told.append)
    assert numbers(records) == numbers(Federation(config).run())
    assert told == records


def test_a_killed_client_is_left_out_and_comes_back(nodes, config):
    config = replace(config, strategy="fedavg", rounds=5)

    def tell(record):
        if record.number == 1:
            nodes.kill(1)
        elif "client 2" in record.refused and 1 not in nodes.clients:
            nodes.add(1)

    records = train_on_nodes(nodes.address, config, None, tell, seconds=15)
    assert [record.number for record in records] == list(range(6))
    left_out = [record.number for record in records if "client 2" in record.refused]
    assert left_out
    assert left_out[0] >= 2
    assert all(list(record.refused) in ([], ["client 2"]) for record in records)
    assert NO_ANSWER in records[left_out[0]].refused["client 2"] or "failed" in str(
        records[left_out[0]].refused
    )
    assert "client 2" not in records[-1].refused, "the client that was started again takes part"


def test_the_connection_is_encrypted(tmp_path, config):
    files = certificates(tmp_path)
    config = replace(config, strategy="fedavg", rounds=1)
    with ExitStack() as stack:
        nodes = Nodes(tmp_path, files)
        stack.callback(nodes.close)
        for number in range(3):
            nodes.add(number)
        until_it_answers(nodes)
        records = train_on_nodes(
            nodes.address, config, None, lambda record: None, files["ca-certfile"]
        )
        assert numbers(records) == numbers(Federation(config).run())
        with pytest.raises(UserError, match="Flower ended before the last round"):
            train_on_nodes(nodes.address, config, None, lambda record: None)


def certificates(folder: Path) -> dict[str, Path]:
    """Writes a certificate of 127.0.0.1 that is its own root."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    address = x509.IPAddress(ipaddress.ip_address("127.0.0.1"))
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - day)
        .not_valid_after(now + day)
        .add_extension(x509.SubjectAlternativeName([address]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    kind = serialization.Encoding.PEM
    plain = serialization.NoEncryption()
    written = key.private_bytes(kind, serialization.PrivateFormat.PKCS8, plain)
    (folder / "server.key").write_bytes(written)
    (folder / "server.pem").write_bytes(made.public_bytes(kind))
    return {
        "certfile": folder / "server.pem",
        "keyfile": folder / "server.key",
        "ca-certfile": folder / "server.pem",
    }


def test_addresses_that_cannot_be(config):
    def on(address, **values):
        train_on_nodes(address, config, None, lambda record: None, **values)

    with pytest.raises(UserError, match=r"Expected an address such as 127\.0\.0\.1:8000"):
        on("127.0.0.1")
    with pytest.raises(UserError, match=r"Nothing answers at 127\.0\.0\.1"):
        on(f"127.0.0.1:{free_port()}")
    with pytest.raises(UserError, match=r"example\.org is another machine, and without --cert"):
        on("example.org:8000")
    with pytest.raises(UserError, match=r"There is no certificate missing\.pem"):
        on("example.org:8000", certificate=Path("missing.pem"))
