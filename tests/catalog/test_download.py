"""Fetching a benchmark set from a server of the test's own: resumed, checked, extracted whole."""

from __future__ import annotations

import hashlib
import http.server
import io
import json
import random
import tarfile
import threading
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from mocoop.catalog.download import PARTS, address, download, to_fetch
from mocoop.catalog.sources import SOURCES, Remote, Source
from mocoop.cli.data import DownloadData, data
from mocoop.datasets import BENCHMARKS, load_dataset
from mocoop.datasets.benchmarks import TABLE
from mocoop.errors import UserError
from tests.support.image_files import picture_bytes

SPLIT = {
    split: [
        [f"{name}/{split}.jpg", label, name] for label, name in enumerate(("banded", "dotted"))
    ]
    for split in ("train", "val", "test")
}


def archive_bytes():
    """Returns a small DTD archive in the real one's layout."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w:gz") as archive:
        for rows in SPLIT.values():
            for path, _, _ in rows:
                content = picture_bytes(path, ".jpg") + random.Random(path).randbytes(400_000)
                info = tarfile.TarInfo(f"dtd/images/{path}")
                info.size = len(content)
                archive.addfile(info, io.BytesIO(content))
        archive.addfile(tarfile.TarInfo("dtd/labels/list.txt"), io.BytesIO(b""))
    return buffer.getvalue()


class Handler(http.server.BaseHTTPRequestHandler):
    """Serves files, ranges too; can break off or fail."""

    files: dict
    ranges: list
    break_after: list

    def do_GET(self):
        content = self.files.get(self.path)
        if content is None:
            self.send_error(404)
            return
        start = int((self.headers.get("Range") or "bytes=0-")[6:].split("-")[0])
        self.ranges.append(start)
        self.send_response(206 if start else 200)
        self.send_header("Content-Length", str(len(content) - start))
        if start:
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        self.end_headers()
        rest = content[start:]
        if self.break_after:
            rest = rest[: self.break_after.pop()]
            self.wfile.write(rest)
            self.connection.close()
            return
        self.wfile.write(rest)

    def log_message(self, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    """A server with a small DTD, to which the set's addresses are turned."""
    files = {"/dtd.tar.gz": archive_bytes(), "/split.json": json.dumps(SPLIT).encode()}
    handler = type("H", (Handler,), {"files": files, "ranges": [], "break_after": []})
    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    base = f"http://127.0.0.1:{running.server_port}"
    md5 = hashlib.md5(files["/dtd.tar.gz"]).hexdigest()
    source = Source(
        base,
        "For nothing but tests.",
        (
            Remote(f"{base}/dtd.tar.gz", "dtd/images", "dtd/images", md5),
            Remote(f"{base}/split.json", "dtd/split_zhou_DescribableTextures.json"),
        ),
    )
    monkeypatch.setitem(SOURCES, "dtd", source)
    monkeypatch.setattr("mocoop.catalog.download._RETRIES", 0)
    yield handler
    running.shutdown()
    running.server_close()


def test_a_set_is_fetched_and_opens(server, tmp_path):
    told = []
    new = download("dtd", tmp_path, lambda *call: told.append(call))
    assert new == ["dtd/images", "dtd/split_zhou_DescribableTextures.json"]
    assert told[-1][0] == "split_zhou_DescribableTextures.json"
    found = load_dataset("dtd", tmp_path)
    assert found.class_names == ("banded", "dotted")
    assert found.note.startswith("CoOp's split")
    assert [path.name for path in tmp_path.iterdir()] == ["dtd"]
    server.ranges.clear()
    assert download("dtd", tmp_path) == []
    assert server.ranges == []


def test_a_download_goes_on_where_it_stopped(server, tmp_path):
    server.break_after.append(1_500_000)
    with pytest.raises(
        UserError, match="run the same command again: it continues where it stopped"
    ):
        download("dtd", tmp_path)
    assert not (tmp_path / "dtd").exists()
    download("dtd", tmp_path)
    assert [start for start in server.ranges if 500_000 < start <= 1_500_000] != []
    assert load_dataset("dtd", tmp_path).class_names == ("banded", "dotted")


def test_a_wrong_checksum_is_refused_and_removed(server, tmp_path):
    content = server.files["/dtd.tar.gz"]
    server.files["/dtd.tar.gz"] = content[:-1] + b"x"
    with pytest.raises(UserError, match=r"wrong checksum\. Expected the MD5 sum \w+, got \w+\."):
        download("dtd", tmp_path)
    assert not (tmp_path / "dtd").exists()
    assert list((tmp_path / PARTS).iterdir()) == []
    server.files["/dtd.tar.gz"] = content
    download("dtd", tmp_path)
    assert load_dataset("dtd", tmp_path)


def test_an_address_that_does_not_answer(server, tmp_path):
    del server.files["/split.json"]
    with pytest.raises(
        UserError, match=r"split_zhou\w+.json cannot be downloaded .*put it at dtd/"
    ):
        download("dtd", tmp_path)
    assert (tmp_path / "dtd/images/banded").is_dir()  # what was whole is kept


def test_an_archive_that_lacks_its_part(server, tmp_path, monkeypatch):
    remote = SOURCES["dtd"].files[0]
    other = Remote(remote.url, remote.to, "dtd/pictures", remote.md5)
    monkeypatch.setitem(SOURCES, "dtd", Source("", "", (other,)))
    with pytest.raises(
        UserError, match="does not contain dtd/pictures: the file at this address has"
    ):
        download("dtd", tmp_path)
    assert not (tmp_path / "dtd").exists()


def test_an_archive_in_an_archive(server, tmp_path, monkeypatch):
    """As Caltech101 comes: a zip with a tar in it."""
    outer = io.BytesIO()
    with zipfile.ZipFile(outer, "w") as archive:
        archive.writestr("caltech-101/images.tar.gz", server.files["/dtd.tar.gz"])
    server.files["/outer.zip"] = outer.getvalue()
    base = SOURCES["dtd"].page
    remote = Remote(
        f"{base}/outer.zip", "dtd/images", "dtd/images", "", "caltech-101/images.tar.gz"
    )
    monkeypatch.setitem(SOURCES, "dtd", Source(base, "", (remote,)))
    download("dtd", tmp_path)
    assert sorted(p.name for p in (tmp_path / "dtd/images").iterdir()) == ["banded", "dotted"]


def test_a_root_that_cannot_be_written_to(server, tmp_path):
    (tmp_path / "file").write_text("no folder")
    with pytest.raises(UserError, match=r"dtd|images cannot be downloaded .*Not a directory"):
        download("dtd", tmp_path / "file")


def test_google_drive(server, tmp_path, monkeypatch):
    """Files on Google Drive are asked for by their id, with the same words if it fails."""
    asked = {}

    def fake(**call):
        asked.update(call)
        raise OSError("no network in tests")

    monkeypatch.setattr("gdown.download", fake)
    with pytest.raises(UserError, match=r"google.com/file/d/10Jq\w+/view: no network"):
        download("ucf101", tmp_path)
    assert (asked["id"], asked["url"]) == ("10Jqome3vtUA2keJkNanAiFpgbyC9Hc2O", None)
    assert asked["resume"] is True


def test_the_command_shows_the_terms_first(server, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sys.stdin", io.StringIO(""))
    with pytest.raises(UserError, match="Cannot ask whether you accept the terms of dtd"):
        data(DownloadData(root=tmp_path, name="dtd"))
    assert "For nothing but tests." in capsys.readouterr().out
    assert not (tmp_path / "dtd").exists()
    terminal = io.StringIO("n\n")
    terminal.isatty = lambda: True
    monkeypatch.setattr("sys.stdin", terminal)
    with pytest.raises(UserError, match="nothing was downloaded"):
        data(DownloadData(root=tmp_path, name="dtd"))
    data(DownloadData(root=tmp_path, name="dtd", yes=True))
    assert "mocoop data check dtd" in capsys.readouterr().out
    with pytest.raises(UserError, match=r"Unknown benchmark set 'dts'.*mean 'dtd'"):
        data(DownloadData(root=tmp_path, name="dts", yes=True))


def test_a_list_alone_is_not_complete(server, tmp_path, capsys, monkeypatch):
    """The images of Stanford Cars are got by hand, into the folder that the list is in."""
    address = f"{SOURCES['dtd'].page}/split.json"
    given = SOURCES["stanford_cars"]
    remote = Remote(address, "stanford_cars/split_zhou_StanfordCars.json")
    monkeypatch.setitem(SOURCES, "stanford_cars", replace(given, files=(remote,)))
    data(DownloadData(root=tmp_path, name="stanford_cars", yes=True))
    assert "still to do yourself: The authors no longer offer" in capsys.readouterr().out
    data(DownloadData(root=tmp_path, name="stanford_cars", yes=True, json=True))
    assert json.loads(capsys.readouterr().out)["complete"] is False


def test_sources_fit_their_sets():
    """What is fetched lands where the reader looks, or is said to be got by hand."""
    assert set(SOURCES) <= set(BENCHMARKS)
    for name, source in SOURCES.items():
        places = [remote.to for remote in source.files]
        assert source.by_hand or any(TABLE[name].images.startswith(place) for place in places)
        assert not TABLE[name].split or TABLE[name].split in places
        assert source.terms.endswith(".")
        for remote in source.files:
            assert address(remote).startswith("http")
            assert len(remote.md5) in (0, 32)
    assert len(to_fetch("imagenet_a", Path("/nowhere"))) == 2
