"""A run as one zip: there and back again, and every kind of file that nobody should unpack."""

from __future__ import annotations

import io
import json
import shlex
import shutil
import stat
import struct
import zipfile

import pytest
import torch

from mocoop.classifiers.saved import open_classifier
from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.presets import differences, preset
from mocoop.runs.export_zip import archive_bytes, archive_name, write_archive
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run, list_runs
from mocoop.runs.writer import queue_run
from mocoop.storage.archives import Limits

NAME = "details-tiny"


@pytest.fixture(scope="module")
def packed(finished_run) -> bytes:
    return archive_bytes(finished_run)


def entries(packed: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(packed)) as archive:
        return {info.filename: archive.read(info) for info in archive.infolist()}


def zipped(files: dict[str, bytes], kind: int = stat.S_IFREG) -> io.BytesIO:
    """Returns a zip of files; the last one is of another kind, such as a link."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for number, (name, data) in enumerate(files.items(), start=1):
            info = zipfile.ZipInfo(name)
            mode = kind if number == len(files) else stat.S_IFREG
            info.external_attr = (mode | 0o644) << 16
            archive.writestr(info, data)
    buffer.seek(0)
    return buffer


def resigned(files: dict[str, bytes], name: str, data: bytes, run: str = NAME) -> dict[str, bytes]:
    """Returns an archive's files with one of them changed and listed as it now is."""
    import hashlib

    changed = files | {f"{run}/{name}": data}
    manifest = json.loads(files[f"{run}/archive.json"])
    manifest["files"][name] = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest()}
    return changed | {f"{run}/archive.json": json.dumps(manifest).encode()}


def assert_refused(source, root, words: str, name: str = "") -> None:
    with pytest.raises(UserError, match=words):
        read_archive(source, root, name)
    assert not root.exists() or list(root.iterdir()) == []


def test_an_imported_run_is_the_run(finished_run, packed, tmp_path, demo_backbone):
    run = read_archive(io.BytesIO(packed), tmp_path)
    assert run.path == tmp_path / NAME
    assert run.setup() == finished_run.setup()
    assert run.results() == finished_run.results()
    assert run.records() == finished_run.records()
    there, here = open_classifier(finished_run), open_classifier(run)
    features = torch.nn.functional.normalize(torch.randn(5, there.soft.shape[-1]), dim=-1)
    torch.testing.assert_close(
        here.classify(features).probabilities, there.classify(features).probabilities
    )
    assert [found.name for found in list_runs([tmp_path])] == [NAME]
    assert run.status().pid == 0  # no process of this machine
    assert [path.name for path in tmp_path.iterdir()] == [NAME]


def test_the_same_run_gives_the_same_bytes(finished_run, packed, tmp_path):
    write_archive(finished_run, tmp_path / "run.zip")
    assert (tmp_path / "run.zip").read_bytes() == packed
    again = archive_bytes(read_archive(io.BytesIO(packed), tmp_path / "runs"))
    assert entries(again).keys() == entries(packed).keys()


def test_results_on_sets_of_any_name_travel_too(finished_run, tmp_path):
    shutil.copytree(finished_run.path, tmp_path / "tested")
    names = ("cats & dogs", "cats + dogs", "cats, dogs", "cats - dogs", "猫")
    for number, name in enumerate(names):
        result = {"accuracy": float(number), "num_images": 9}
        (tmp_path / "tested" / f"transfer-{name}.json").write_text(json.dumps(result))
    run = read_archive(io.BytesIO(archive_bytes(Run(tmp_path / "tested"))), tmp_path / "runs")
    files = {path.name: json.loads(path.read_bytes()) for path in run.path.glob("transfer-*")}
    assert sorted(file["accuracy"] for file in files.values()) == [0, 1, 2, 3, 4]
    assert files["transfer-cats + dogs.json"]["accuracy"] == 1
    assert files["transfer-cats - dogs.json"]["accuracy"] == 3


def test_a_run_without_test_images_travels_too(finished_run, tmp_path):
    shutil.copytree(finished_run.path, tmp_path / "untested")
    results = {"val_is_test": False, "training_seconds": 1.5, "training_images": 4}
    (tmp_path / "untested" / "results.json").write_text(json.dumps(results))
    there = archive_bytes(Run(tmp_path / "untested"))
    assert b"It was not tested" in entries(there)["untested/README.md"]
    run = read_archive(io.BytesIO(there), tmp_path / "runs")
    assert run.results() == results
    (run.path / "results.json").unlink()
    with pytest.raises(UserError, match=r"results\.json"):
        archive_bytes(run)


def test_the_card_says_what_it_is(finished_run, packed):
    card = entries(packed)[f"{NAME}/README.md"].decode()
    setup, results = finished_run.setup(), finished_run.results()
    assert setup.backbone_fingerprint in card
    assert f"{results['new']['accuracy']:.2f} %" in card
    assert f"{results['harmonic_mean']:.2f} %" in card
    assert "16 trained (the base half) of 32" in card
    assert "| `epochs` | 3 |" in card
    assert "bird" in card


def test_the_card_names_the_run_as_it_is_once_unpacked(finished_run, tmp_path):
    shutil.copytree(finished_run.path, tmp_path / "it's (mine) & yours")
    run = Run(tmp_path / "it's (mine) & yours")
    files = entries(archive_bytes(run))
    name = archive_name(run)
    lines = files[f"{name}/README.md"].decode().splitlines()
    (line,) = (line for line in lines if line.startswith("mocoop evaluate"))
    assert shlex.split(line) == ["mocoop", "evaluate", name]


def test_differences_are_those_from_the_preset():
    assert differences(preset("coop")) == {}
    from dataclasses import replace

    changed = replace(preset("coop"), learning_rate=0.3, shots=1, device="cpu")
    assert differences(changed) == {"learning_rate": 0.3}


def test_no_log_no_request_and_no_process_travel(finished_run, packed):
    names = {name.partition("/")[2] for name in entries(packed)}
    assert "log.txt" not in names
    assert "request.json" not in names
    status = json.loads(entries(packed)[f"{NAME}/status.json"])
    assert status["pid"] == 0


@pytest.mark.parametrize(("data", "kept"), [("/a/b", "b"), ("../b", "b"), ("~b", "data")])
def test_an_archive_leads_to_no_folder_here(packed, tmp_path, data, kept):
    """Archives of version 0.1 hold the path of the data; a made one can hold any."""
    files = entries(packed)
    values = json.loads(files[f"{NAME}/config.json"])
    values["config"]["data"] = data
    changed = resigned(files, "config.json", json.dumps(values).encode())
    run = read_archive(zipped(changed), tmp_path)
    assert run.setup().config.data == kept


def test_only_finished_runs_are_exported(tmp_path):
    run = queue_run(tmp_path / "waiting")
    with pytest.raises(UserError, match="is queued, not finished"):
        write_archive(run, tmp_path / "run.zip")
    assert not (tmp_path / "run.zip").exists()


def test_a_taken_name_is_left_alone(packed, tmp_path):
    first = read_archive(io.BytesIO(packed), tmp_path)
    before = (first.path / "results.json").read_bytes()
    with pytest.raises(UserError, match=f"run called '{NAME}' already.*--name"):
        read_archive(io.BytesIO(packed), tmp_path)
    assert (first.path / "results.json").read_bytes() == before
    second = read_archive(io.BytesIO(packed), tmp_path, "another (2)")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["another (2)", NAME]
    assert second.results() == first.results()


@pytest.mark.parametrize("name", ["../out", "a/b", ".hidden", "", "x" * 121, "nul\x00", "a\\b"])
def test_bad_names_are_refused(packed, tmp_path, name):
    if name:
        assert_refused(io.BytesIO(packed), tmp_path / "runs", "A run's name starts with", name)
    files = entries(packed)
    manifest = json.loads(files[f"{NAME}/archive.json"]) | {"name": name}
    files[f"{NAME}/archive.json"] = json.dumps(manifest).encode()
    assert_refused(zipped(files), tmp_path / "runs", "A run's name starts with")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("../evil.json", "leads out"),
        (f"{NAME}/../../evil.json", "leads out"),
        ("/etc/evil.json", "leads out"),
        (f"{NAME}/folder/config.json", "without subfolders"),
        (f"{NAME}/..\\evil.json", "leads out"),
        (f"{NAME}/C:\\evil.json", "without subfolders"),
        (f"{NAME}/CONFIG.json", "twice"),
        (f"{NAME}/evil.py", "a run has no file of that name"),
        (f"{NAME}/weights.pkl", "a run has no file of that name"),
        (f"{NAME}/.hidden", "a run has no file of that name"),
        ("config.json", "without subfolders"),
        ("second/config.json", "the archive has it twice"),
        ("second/transfer-faces.json", "Expected one run in the archive; got 2"),
        (f"{NAME}/transfer-x.json", "not those that it lists"),
    ],
)
def test_strange_entries_are_refused(packed, tmp_path, name, words):
    assert_refused(zipped(entries(packed) | {name: b"{}"}), tmp_path / "runs", words)
    assert not (tmp_path / "evil.json").exists()


@pytest.mark.parametrize("kind", [stat.S_IFLNK, stat.S_IFIFO, stat.S_IFCHR])
def test_links_and_devices_are_refused(packed, tmp_path, kind):
    files = entries(packed) | {f"{NAME}/transfer-x.json": b"/etc/passwd"}
    assert_refused(zipped(files, kind), tmp_path / "runs", "is a link|is not a regular file")


def test_too_many_and_too_large_are_refused(packed, tmp_path, monkeypatch):
    many = {f"{NAME}/transfer-{n}.json": b"{}" for n in range(70)}
    assert_refused(zipped(entries(packed) | many), tmp_path / "runs", "at most 64")
    monkeypatch.setattr("mocoop.runs.import_zip.MAX_TEXT_BYTES", 1024**2)
    large = entries(packed) | {f"{NAME}/transfer-x.json": b" " * (1024**2 + 1)}
    assert_refused(zipped(large), tmp_path / "runs", "MB of text")
    monkeypatch.setattr("mocoop.runs.import_zip.LIMITS", Limits(unpacked=1024))
    assert_refused(io.BytesIO(packed), tmp_path / "runs", "contains more than")


def test_a_bomb_that_lies_about_its_size_is_refused(packed, tmp_path):
    """The central directory says 10 bytes where a megabyte is packed."""
    bomb = zipped(resigned(entries(packed), "transfer-x.json", b"0" * 1024**2)).getvalue()
    honest, lie = struct.pack("<I", 1024**2), struct.pack("<I", 10)
    assert_refused(io.BytesIO(bomb.replace(honest, lie)), tmp_path / "runs", "damaged|checksum")


def test_other_ways_of_packing_and_encryption_are_refused(packed, tmp_path):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        for name, data in entries(packed).items():
            archive.writestr(name, data)
    assert_refused(buffer, tmp_path / "runs", "has an unusual compression")
    secret = bytearray(packed)
    secret[secret.rindex(b"PK\x01\x02") + 8] |= 1
    assert_refused(io.BytesIO(bytes(secret)), tmp_path / "runs", "is encrypted")


@pytest.mark.parametrize("length", [0, 10, 5000, -30])
def test_broken_zip_files_are_refused(packed, tmp_path, length):
    assert_refused(
        io.BytesIO(packed[:length]), tmp_path / "runs", "damaged or not a supported archive"
    )


def test_changed_bytes_are_refused(packed, tmp_path):
    changed = bytearray(packed)
    changed[packed.index(b"weights.safetensors") + 600] ^= 1
    assert_refused(
        io.BytesIO(bytes(changed)), tmp_path / "runs", "damaged or not a supported archive"
    )
    files = entries(packed)
    files[f"{NAME}/results.json"] += b" "
    assert_refused(zipped(files), tmp_path / "runs", "size or checksum differs")


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"format": 2}, "The archive was written by a newer version of MoCoOp .* in format 2"),
        ({"run_format": 9}, "The run in the archive was written by a newer version of MoCoOp"),
        ({"run_format": "x"}, "The run in the archive has format 'x'"),
        ({"format": None}, "The archive has format None"),
        ({"files": 7}, "cannot be read"),
        ({"files": {}}, "not those that it lists"),
    ],
)
def test_other_versions_and_odd_tables_are_refused(packed, tmp_path, change, words):
    files = entries(packed)
    manifest = json.loads(files[f"{NAME}/archive.json"]) | change
    files[f"{NAME}/archive.json"] = json.dumps(manifest).encode()
    assert_refused(zipped(files), tmp_path / "runs", words)


@pytest.mark.parametrize(
    ("name", "data", "words"),
    [
        ("config.json", b"{}", "has format None"),
        ("config.json", b"[1]", "Expected object, got array"),
        ("config.json", b"[" * 100_000, "does not hold a complete run"),
        ("status.json", b'{"state": "running"}', "does not say that it finished"),
        ("status.json", b'{"state": "finished", "odd": 1}', "odd"),
        ("results.json", b"{}", "results.json is empty"),
        ("results.json", b'{"all": 3}', "does not hold a complete run"),
        ("metrics.jsonl", b"no json\n", "does not hold a complete run"),
        ("metrics.jsonl", b"[]\n", "does not hold a complete run"),
        ("weights.safetensors", b"\x80\x04pickle", "weights.safetensors is damaged"),
        ("features.safetensors", b"", "features.safetensors is damaged"),
    ],
)
def test_damaged_content_is_refused_and_nothing_is_kept(packed, tmp_path, name, data, words):
    source = zipped(resigned(entries(packed), name, data))
    assert_refused(source, tmp_path / "runs", words)


def test_features_of_other_shapes_are_refused(packed, tmp_path):
    from safetensors.torch import save

    soft = torch.nn.functional.normalize(torch.randn(2, 3, 4), dim=-1)
    data = save({"soft/0": soft, "hard/0": soft.clone(), "prototypes": soft.clone()})
    source = zipped(resigned(entries(packed), "features.safetensors", data))
    assert_refused(source, tmp_path / "runs", "hard features of 1 groups; expected 8")


def test_a_zip_of_something_else_is_named(tmp_path):
    source = zipped({"photos/cat.jpg": b"x"})
    assert_refused(source, tmp_path / "runs", "a run has no file of that name")
    source = zipped({"x/config.json": b"{}"})
    assert_refused(source, tmp_path / "runs", "is not an exported run: it has no archive.json")


def test_a_full_disk_leaves_nothing(packed, tmp_path, monkeypatch):
    def full(*args, **kwargs):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("mocoop.runs.import_zip._unpack", full)
    assert_refused(io.BytesIO(packed), tmp_path / "runs", "No space left on device")


def test_names_that_not_every_system_bears(tmp_path):
    assert archive_name(Run(tmp_path / "photos: cats & dogs?")) == "photos- cats - dogs-"
    assert archive_name(Run(tmp_path / "...")) == "run"


def test_export_and_import_on_the_command_line(finished_run, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["pack", str(finished_run.path)]) == 0
    assert f"{NAME}.zip" in capsys.readouterr().out
    assert main(["unpack", f"{NAME}.zip", "--root", "runs", "--name", "copy", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"run": "runs/copy"}
    assert Run(tmp_path / "runs" / "copy").results() == finished_run.results()
    assert main(["unpack", f"{NAME}.zip", "--root", "runs", "--name", "copy"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["unpack", "nothing.zip", "--root", "runs"]) == 2
    assert "No file 'nothing.zip'" in capsys.readouterr().err
    assert main(["pack", str(finished_run.path), "--out", "."]) == 2
    assert "is a folder" in capsys.readouterr().err
