"""Uploads to the hub: what arrives, and every answer that is no; the hub is a small one here."""

from __future__ import annotations

import base64
import http.server
import json
import threading

import pytest
import yaml

from mocoop.classifiers.export import export_run, load_export
from mocoop.cli.main import main
from mocoop.runs.run import open_run

RUN, REPOSITORY = "albums-mocoop-16shot", "my-name/my-classifier"


class Hub(http.server.BaseHTTPRequestHandler):
    """Makes repositories and takes commits, as the hub does."""

    refuse: dict[str, tuple[int, str]]
    """Part of a path → status and message with which it is refused."""
    made: list[dict]
    commits: list[dict[str, bytes]]
    cards: list[str]
    tokens: set[str]

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        type(self).tokens.add(self.headers.get("Authorization", ""))
        for part, (status, message) in self.refuse.items():
            if part in self.path:
                self._answer({"error": message}, status)
                return
        if self.path == "/api/repos/create":
            self.made.append(json.loads(body))
            self._answer(
                {"url": f"http://{self.headers['Host']}/{REPOSITORY}", "name": REPOSITORY}
            )
        elif self.path == "/api/validate-yaml":
            self.cards.append(json.loads(body)["content"])
            self._answer({"errors": [], "warnings": []})
        elif self.path == f"/api/models/{REPOSITORY}/preupload/main":
            files = json.loads(body)["files"]
            answer = [
                {"path": file["path"], "uploadMode": "regular", "shouldIgnore": False}
                for file in files
            ]
            self._answer({"files": answer})
        elif self.path == f"/api/models/{REPOSITORY}/commit/main":
            lines = [json.loads(line) for line in body.splitlines()]
            self.commits.append(
                {
                    line["value"]["path"]: base64.b64decode(line["value"]["content"])
                    for line in lines
                    if line["key"] == "file"
                }
            )
            page = f"http://{self.headers['Host']}/{REPOSITORY}/commit/1"
            self._answer({"commitUrl": page, "commitOid": "1" * 40, "pullRequestUrl": None})
        else:
            self._answer({"error": f"unknown path {self.path}"}, 404)

    def do_GET(self) -> None:
        known = {"sha": "0" * 40, "siblings": [], "id": REPOSITORY}
        self._answer(known, 404 if "create" in self.refuse else 200)

    def _answer(self, values: dict, status: int = 200) -> None:
        content = json.dumps(values).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def hub(monkeypatch):
    fields = {"refuse": {}, "made": [], "commits": [], "cards": [], "tokens": set()}
    kind = type("H", (Hub,), fields)
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), kind)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    monkeypatch.setattr(
        "huggingface_hub.constants.ENDPOINT", f"http://127.0.0.1:{server.server_port}"
    )
    monkeypatch.setenv("HF_TOKEN", "hf_secret")
    yield kind
    server.shutdown()
    server.server_close()


def test_a_run_arrives_as_a_classifier_with_its_card(hub, capsys, tmp_path):
    assert main(["push", RUN, REPOSITORY, "--private", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["repository"] == REPOSITORY
    assert hub.made[0]["name"] == "my-classifier"
    assert hub.made[0]["organization"] == "my-name"
    assert hub.made[0].get("private") or hub.made[0].get("visibility") == "private"
    assert hub.tokens == {"Bearer hf_secret"}
    (files,) = hub.commits
    assert hub.cards == [files["README.md"].decode()]  # the hub has looked at its head
    assert {"README.md", "classifier.json", "classifier.safetensors", "head.onnx"} <= set(files)
    for name, content in files.items():
        (tmp_path / name).write_bytes(content)
    exported = load_export(tmp_path)  # what arrived can be used
    assert exported.setup.run == RUN
    assert str(open_run(RUN).path.parent) not in files["README.md"].decode()


def test_the_card_has_what_the_hub_reads(tmp_path):
    run = open_run(RUN)
    export_run(run, tmp_path / "mine")
    card = (tmp_path / "mine" / "README.md").read_text()
    _, head, body = card.split("---\n", 2)
    values = yaml.safe_load(head)
    assert values["library_name"] == "mocoop"
    assert values["pipeline_tag"] == "image-classification"
    assert "mixture-of-experts" in values["tags"]
    (metric,) = values["model-index"][0]["results"][0]["metrics"]
    assert metric["value"] == round(run.results()["all"]["accuracy"], 2)
    for part in ("## Use", "## Results on test images", "## Limits", "## Experts", "## head.onnx"):
        assert part in body
    for template in next(iter(run.setup().groups.values())):
        assert f"`{template}`" in body


def test_other_files_in_the_folder_stay_at_home(hub, tmp_path):
    export_run(open_run(RUN), tmp_path / "mine", onnx=False)
    (tmp_path / "mine" / "secret.txt").write_text("mine alone")
    assert main(["push", str(tmp_path / "mine"), REPOSITORY]) == 0
    assert set(hub.commits[0]) == {"README.md", "classifier.json", "classifier.safetensors"}


@pytest.mark.parametrize(
    ("part", "status", "message", "said"),
    [
        ("create", 401, "Invalid username or password.", "hf auth login"),
        ("create", 403, "You don't have the rights", "does not let you write to my-name/"),
        ("commit", 403, "You don't have the rights", "does not let you write to my-name/"),
        ("commit", 413, "Too large", "The hub refused (413)"),
    ],
)
def test_every_no_is_a_sentence(hub, capsys, tmp_path, part, status, message, said):
    export_run(open_run(RUN), tmp_path / "mine", onnx=False)
    hub.refuse[part] = (status, message)
    assert main(["push", str(tmp_path / "mine"), REPOSITORY]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert "Traceback" not in error
    assert "hf_secret" not in error
    assert hub.commits == []


def test_without_a_connection(monkeypatch, capsys, tmp_path):
    export_run(open_run(RUN), tmp_path / "mine", onnx=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", "http://127.0.0.1:9")
    assert main(["push", str(tmp_path / "mine"), REPOSITORY]) == 2
    assert "http://127.0.0.1:9 does not answer" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["classifier", "a/b/c", "a b/c", "", "/x", "my-name/.."])
def test_names_that_cannot_be(hub, capsys, name):
    assert main(["push", RUN, name]) == 2
    assert hub.made == []


def test_damaged_classifiers_stay_at_home(hub, capsys, tmp_path):
    export_run(open_run(RUN), tmp_path / "mine", onnx=False)
    (tmp_path / "mine" / "classifier.safetensors").write_bytes(b"x")
    assert main(["push", str(tmp_path / "mine"), REPOSITORY]) == 2
    assert "is damaged" in capsys.readouterr().err
    assert hub.made == []
