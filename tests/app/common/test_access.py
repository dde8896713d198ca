"""A server that lets its visitors only look."""

from __future__ import annotations

import pytest
from streamlit.testing.v1 import AppTest

from app.common import access
from app.jobs import trainings
from app.train.settings import setting_key
from mocoop.errors import UserError
from mocoop.runs.writer import queue_run
from tests.support.page_fixtures import APP, open_page, tiny_config


@pytest.fixture
def only_look(monkeypatch):
    monkeypatch.setenv(access.VARIABLE, "1")


def labels(app):
    return {button.label for button in app.button}


def texts(elements):
    return " ".join(str(element.value) for element in elements)


@pytest.mark.parametrize(("value", "expected"), [("", False), ("0", False), ("TRUE", True)])
def test_the_variable_says_yes_or_no(monkeypatch, value, expected):
    monkeypatch.setenv(access.VARIABLE, value)
    assert access.read_only() is expected
    monkeypatch.setenv(access.VARIABLE, "maybe")
    with pytest.raises(UserError, match="MOCOOP_READ_ONLY must be 1 or 0; got 'maybe'"):
        access.read_only()


def opened():
    """Returns the app as a new visitor sees it."""
    return AppTest.from_file(str(APP), default_timeout=120).run()


def test_the_app_tells_what_is_wrong_with_the_server(empty_runs, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(empty_runs / ("x" * 300)))  # no file system takes it
    app = opened()
    assert not app.exception
    assert "MOCOOP_RUNS cannot be used" in texts(app.error)
    assert "File name too long" in texts(app.error)
    for good in ("not yet there", "file", "file/below"):
        (empty_runs / "file").write_text("")
        monkeypatch.setenv("MOCOOP_RUNS", str(empty_runs / good))
        app = opened()
        assert not app.exception
        assert not app.error
    monkeypatch.setenv(access.VARIABLE, "maybe")
    app = opened()
    assert not app.exception
    assert "MOCOOP_READ_ONLY must be 1 or 0" in texts(app.error)


def test_nothing_can_be_started_stopped_or_gone_on_with(only_look, empty_runs):
    run = queue_run(empty_runs / "waiting")
    for action in (
        lambda: trainings.start_run(tiny_config()),
        lambda: trainings.cancel_run(run),
        lambda: trainings.resume_run(run),
    ):
        with pytest.raises(UserError, match="read-only demo"):
            action()
    assert [path.name for path in empty_runs.iterdir()] == ["waiting"]


def test_train_page_shows_runs_and_takes_no_path(only_look, one_run, tmp_path):
    app = open_page("pages/train.py", data=str(tmp_path), run=one_run.name)
    assert not app.exception
    assert not app.error
    assert "but not train, change or delete anything" in texts(app.info)
    assert labels(app) == {"See the routing", "See the prompt space"}
    assert not app.selectbox
    assert str(tmp_path) not in texts([*app.markdown, *app.caption, *app.info])


@pytest.mark.parametrize("page", ["home", "train", "routing", "prompt_space"])
def test_empty_pages_ask_for_no_training(only_look, empty_runs, page):
    app = open_page(f"pages/{page}.py")
    assert not app.exception
    assert "here" in texts(app.info)
    assert not any("Train" in label or "Start" in label for label in labels(app))


def test_finished_runs_can_be_looked_at(only_look, one_run):
    for page in ("home", "routing", "prompt_space"):
        app = open_page(f"pages/{page}.py", run=one_run.name)
        assert not app.exception
        assert not app.error
        assert one_run.name in app.selectbox[0].options[0]
        assert "<svg" in texts(app.markdown) if page == "home" else app.get("plotly_chart")


OTHERS = "0.0.0.0"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """The server's folder of data, an allowed one, and a private one."""
    for name in ("root", "allowed", "private"):
        (tmp_path / name / "set").mkdir(parents=True)
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "root"))
    return tmp_path


@pytest.mark.parametrize("address", [OTHERS, None, "192.168.0.7"])
def test_a_server_for_others_opens_only_allowed_folders(folders, monkeypatch, address):
    access.check_folder(str(folders / "root" / "set"), address)
    (folders / "root" / "link").symlink_to(folders / "private")
    outside = [folders / "private", folders / "root" / ".." / "private", folders / "root" / "link"]
    said = set()
    for path in [*outside, "/etc", "~", ".", folders / "missing"]:
        with pytest.raises(UserError, match="only the data sets in its menu") as caught:
            access.check_folder(str(path), address)
        said.add(str(caught.value))
    assert len(said) == 1  # the same for what exists and what does not
    assert str(folders) not in said.pop()
    monkeypatch.setenv(access.FOLDERS, f"{folders / 'allowed'}:{folders / 'private' / 'set'}")
    access.check_folder(str(folders / "allowed" / "set"), address)
    access.check_folder(str(folders / "private" / "set"), address)
    with pytest.raises(UserError, match="its owner allows"):
        access.check_folder(str(folders / "private"), address)


def test_the_owners_machine_opens_every_folder_unless_told_otherwise(folders, monkeypatch):
    for address in access.OWN_MACHINE:
        access.check_folder(str(folders / "private"), address)
    monkeypatch.setenv(access.FOLDERS, str(folders / "allowed"))
    with pytest.raises(UserError, match="its owner allows"):
        access.check_folder(str(folders / "private"), "127.0.0.1")


@pytest.mark.parametrize("page", ["data", "train"])
def test_a_link_opens_no_folder_of_a_server(empty_runs, folders, monkeypatch, page):
    monkeypatch.setenv(access.FOLDERS, str(folders / "allowed"))
    private = str(folders / "private")
    app = open_page(f"pages/{page}.py", data=private)
    assert not app.exception
    assert "only the data sets in its menu" in texts(app.error)
    assert not app.metric


def test_a_link_opens_no_folder_of_a_read_only_site(only_look, empty_runs, folders):
    app = open_page("pages/data.py", data=str(folders / "private"))
    assert not app.exception
    assert not app.error
    assert str(folders) not in texts([*app.markdown, *app.caption, *app.info, *app.selectbox])


@pytest.mark.parametrize("address", [OTHERS, None])
def test_a_server_for_others_opens_only_allowed_clips(folders, monkeypatch, address):
    private = folders / "private" / "clip.safetensors"
    private.write_bytes(b"")
    for name in ("demo", "ViT-B-16-quickgelu/openai", "hf-hub:laion/CLIP-ViT-B-32-laion2B-s34B"):
        access.check_clip(name, address)
    said = set()
    for name in (
        str(private),
        str(folders / "missing.safetensors"),
        f"ViT-B-16/{private}",
        f"ViT-B-16/{folders / 'missing.safetensors'}",
        "ViT-B-16/no-such-tag",
        ".",
        "~nosuchuser/clip",
        "/" + "a" * 5000,
    ):
        for check in (access.check_clip, access.check_clip_path):
            with pytest.raises(UserError, match="opens only CLIPs that") as caught:
                check(name, address)
            said.add(str(caught.value))
    assert len(said) == 1  # the same for what exists and what does not
    monkeypatch.setenv(access.FOLDERS, str(folders / "private"))
    for name in (str(private), f"ViT-B-16/{private}"):
        access.check_clip(name, address)
        access.check_clip(name, "127.0.0.1")
    with pytest.raises(UserError, match="opens only CLIPs that"):
        access.check_clip(str(folders / "allowed"), "127.0.0.1")


def test_the_owners_machine_and_its_finished_runs_open_every_clip(folders, monkeypatch):
    access.check_clip(str(folders / "private"), "127.0.0.1")
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    access.check_clip_path(str(folders / "private"), OTHERS)
    with pytest.raises(UserError, match="read-only"):
        access.check_clip(str(folders / "private"), "127.0.0.1")


def test_a_typed_clip_opens_no_file_of_a_server(empty_runs, folders, monkeypatch):
    monkeypatch.setenv(access.FOLDERS, str(folders / "allowed"))
    private = str(folders / "private")
    data = open_page("pages/data.py", data="details", look_at="Templates")
    next(box for box in data.text_input if box.label == "CLIP").set_value(private)
    next(button for button in data.button if button.label == "Propose groups").click().run()
    train = opened()
    train.session_state[setting_key("backbone")] = private
    train.switch_page("pages/train.py").run()
    for app in (data, train):
        assert not app.exception
        assert "opens only CLIPs that" in texts(app.error)


NO_PATHS = ["~nosuchuser/x", "a\0b", "/" + "a" * 5000]


@pytest.mark.parametrize("typed", NO_PATHS)
def test_what_cannot_be_a_path_is_refused_like_any_other(monkeypatch, typed):
    """A server that others reach does not tell which users there are."""
    monkeypatch.setenv(access.FOLDERS, "/srv/data")
    with pytest.raises(UserError, match="opens only the data sets in its menu"):
        access.check_folder(typed, None)
