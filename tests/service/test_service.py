"""The service over HTTP: answers, limits, hostile uploads, many clients at once."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
import uvicorn
from PIL import Image
from starlette.testclient import TestClient

from mocoop.classifiers.export import export_run
from mocoop.classifiers.saved import open_classifier, run_encoder
from mocoop.cli.main import main
from mocoop.features.encode import encode_images
from mocoop.runs.run import open_run
from mocoop.service.gate import Limits
from mocoop.service.service import Served, make_service
from tests.app.routing.test_hostile_uploads import TEXTS
from tests.support.image_files import picture_bytes

RUN = "albums-mocoop-16shot"
COLOURS = ("red", "green", "blue", "white", "black")


@pytest.fixture(scope="module")
def served():
    return Served.opened(open_run(RUN).path)


@pytest.fixture(scope="module")
def client(served):
    with TestClient(make_service(served)) as client:
        yield client


@pytest.fixture
def limited(served):
    with TestClient(make_service(served, Limits(megabytes=0.01, seconds=1.0))) as client:
        yield client


def sent(client, content, name="picture.png"):
    return client.post("/predict", files={"file": (name, content)})


def test_answer_is_that_of_the_classifier(client):
    content = picture_bytes("a", size=(64, 64))
    answer = sent(client, content)
    assert answer.status_code == 200
    run = open_run(RUN)
    encoder = run_encoder(run)
    feature = encode_images(encoder.backbone, [Image.open(io.BytesIO(content)).convert("RGB")])
    routed = open_classifier(run, loaded=encoder.backbone).classify(feature)
    said = answer.json()
    expected = routed.probabilities[0]
    assert (
        said["label"]
        == routed.class_names[int(expected.argmax())]
        == next(iter(said["probabilities"]))
    )
    found = torch.tensor([said["probabilities"][name] for name in routed.class_names])
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=0)
    assert list(said["experts"]) == [name for name, _ in routed.chosen(0)]
    assert sum(said["experts"].values()) == pytest.approx(1, abs=1e-5)
    assert set(said["expert_scores"]) == set(routed.experts)
    assert said["notes"] == []


def test_exported_classifier_answers_the_same(client, tmp_path):
    export_run(open_run(RUN), tmp_path / "mine", onnx=False)
    with TestClient(make_service(Served.opened(tmp_path / "mine", is_export=True))) as other:
        content = picture_bytes("b", size=(64, 64))
        ours, theirs = sent(client, content).json(), sent(other, content).json()
    assert ours["label"] == theirs["label"]
    assert ours["probabilities"] == pytest.approx(theirs["probabilities"], abs=1e-6)


def test_what_else_it_says(client, served):
    health = client.get("/health").json()
    assert health["status"] == "ok"
    assert health["model"] == RUN
    before = health["answered"]
    sent(client, picture_bytes("c"))
    assert client.get("/health").json()["answered"] == before + 1
    assert client.get("/classes").json() == list(served.classifier.class_names)
    schema = client.get("/openapi.json").json()
    assert set(schema["paths"]) == {"/predict", "/health", "/classes"}
    assert "docs" in client.get("/").text
    assert client.get("/docs").status_code == 200
    assert "curl -F file=@photo.jpg http://testserver/predict" in client.get("/").text
    missing = client.get("/nothing")
    assert (missing.status_code, missing.json()) == (404, {"error": "Not Found"})


@pytest.mark.parametrize("name", TEXTS)
def test_hostile_files_get_a_sentence(client, name):
    answer = sent(client, TEXTS[name], name)
    assert answer.status_code == 422
    assert answer.json()["error"].startswith("the picture: ")


def test_requests_without_a_file(client):
    for answer in (
        client.post("/predict"),
        client.post("/predict", json={"file": "x"}),
        client.post("/predict", data={"file": "x"}),
        client.post("/predict", files={"picture": b"x"}),
    ):
        assert answer.status_code == 422
        assert "curl -F file=@photo.jpg" in answer.json()["error"]
    broken = client.post(
        "/predict", content=b"x", headers={"Content-Type": "multipart/form-data; boundary=y"}
    )
    assert broken.status_code in (400, 422)
    assert "error" in broken.json()


def test_large_files_are_refused_whatever_they_announce(limited):
    large = b"x" * 40_000
    answer = sent(limited, large)
    assert answer.status_code == 413
    assert "at most 0.01 MB" in answer.json()["error"]

    def pieces():
        head = b'--y\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
        yield head
        for _ in range(40):
            yield b"x" * 1000

    form = {"Content-Type": "multipart/form-data; boundary=y"}
    unannounced = limited.post("/predict", content=pieces(), headers=form)
    assert unannounced.status_code == 413
    assert sent(limited, picture_bytes("d")).status_code == 200  # and it goes on


@pytest.fixture
def running(served):
    """A function that starts the service on a free port and returns the port."""
    started = []

    def start(limits, slow=0.0):
        class Slow(Served):
            def answers(self, inputs):
                time.sleep(slow)
                return super().answers(inputs)

        service = make_service(Slow(served.name, served.classifier, served.encoder), limits)
        server = uvicorn.Server(uvicorn.Config(service, port=0, log_level="warning"))
        thread = threading.Thread(target=server.run, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.01)
        started.append((server, thread))
        return server.servers[0].sockets[0].getsockname()[1]

    yield start
    for server, thread in started:
        server.should_exit = True
        thread.join(20)


def request(port, content):
    """Returns status and body of a POST of a picture, over a connection of its own."""
    body = b'--y\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    body += content + b"\r\n--y--\r\n"
    head = "POST /predict HTTP/1.1\r\nHost: x\r\nConnection: close\r\n"
    head += "Content-Type: multipart/form-data; boundary=y\r\n"
    head += f"Content-Length: {len(body)}\r\n\r\n"
    with socket.create_connection(("127.0.0.1", port), timeout=60) as connection:
        connection.sendall(head.encode() + body)
        answer = b""
        while part := connection.recv(65536):
            answer += part
    status, _, rest = answer.partition(b"\r\n\r\n")
    return int(status.split()[1]), rest


def test_twenty_clients_at_once(running, client):
    port = running(Limits())
    contents = {colour: picture_bytes(colour, size=(64, 64)) for colour in COLOURS}
    expected = {colour: sent(client, content).json() for colour, content in contents.items()}
    asked = [COLOURS[number % len(COLOURS)] for number in range(100)]
    with ThreadPoolExecutor(20) as clients:
        found = list(clients.map(lambda colour: request(port, contents[colour]), asked))
    for colour, (status, body) in zip(asked, found, strict=True):
        assert status == 200
        answer = json.loads(body)
        assert answer["label"] == expected[colour]["label"]
        assert answer["probabilities"] == pytest.approx(
            expected[colour]["probabilities"], abs=1e-5
        )


def test_more_than_it_takes_at_once_are_asked_to_come_again(running):
    port = running(Limits(at_once=2), slow=0.5)
    content = picture_bytes("e")
    with ThreadPoolExecutor(8) as clients:
        found = list(clients.map(lambda _: request(port, content), range(8)))
    states = sorted(status for status, _ in found)
    assert states[0] == 200
    assert states[-1] == 503
    assert any(b"Try again soon" in body for status, body in found if status == 503)
    assert request(port, content)[0] == 200  # afterwards there is room again


def test_a_client_that_sends_slowly_does_not_keep_its_place(running):
    port = running(Limits(at_once=1, seconds=0.5))
    with socket.create_connection(("127.0.0.1", port), timeout=60) as slow:
        slow.sendall(
            b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 500\r\n"
            b"Content-Type: multipart/form-data; boundary=y\r\n\r\n--y\r\n"
        )
        answer = slow.recv(65536)
    assert b" 408 " in answer.split(b"\r\n")[0]
    assert request(port, picture_bytes("f"))[0] == 200


def test_command_serves_until_it_is_stopped():
    command = [sys.executable, "-m", "mocoop", "serve", RUN, "--port", "0"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        try:
            line = process.stdout.readline()
            assert f"answers pictures with {RUN}" in line
            port = int(line.split()[0].rpartition(":")[2])
            assert request(port, picture_bytes("g"))[0] == 200
        finally:
            process.terminate()
        process.wait(30)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (["--batch", "0"], "--batch must be more than 0"),
        (["--seconds", "-1"], "--seconds must be more than 0"),
        (["--port", "70000"], "--port must be between 0 and 65535"),
        (["--host", "203.0.113.7"], "203.0.113.7:8000 cannot be used"),
    ],
)
def test_options_that_cannot_be(capsys, options, said):
    assert main(["serve", RUN, *options]) == 2
    assert said in capsys.readouterr().err


def test_port_in_use(capsys):
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        assert main(["serve", RUN, "--port", str(port)]) == 2
    assert f"127.0.0.1:{port} cannot be used" in capsys.readouterr().err


def test_missing_run_and_missing_packages(capsys, monkeypatch):
    assert main(["serve", "no-such-run"]) == 2
    assert "no-such-run" in capsys.readouterr().err
    monkeypatch.setitem(sys.modules, "uvicorn", None)
    assert main(["serve", RUN]) == 2
    assert 'pip install "mocoop[serve]"' in capsys.readouterr().err
