"""Typed paths: what cannot be a path is told in words, wherever one can be typed."""

from __future__ import annotations

from pathlib import Path

import pytest

from app.caches.data import clip_stamp
from app.ui.data_picker import data_name
from mocoop.catalog.change_stamp import data_stamp
from mocoop.clip.backbone import check_backbone_name
from mocoop.clip.names import absolute_name, repository_in
from mocoop.datasets import check_name, dataset_name, load_dataset
from mocoop.errors import UserError
from mocoop.user_paths import user_path

NO_PATHS = ["~nosuchuser/x", "a\0b", "/" + "a" * 5000, "/" + "b" * 300, "c/\udc80x\0"]
WAYS = [
    user_path, data_name, data_stamp, load_dataset, check_name,
    clip_stamp, check_backbone_name, absolute_name,
]  # fmt: skip


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("typed", NO_PATHS, ids=range(len(NO_PATHS)))
def test_no_path_is_told_in_words(way, typed, monkeypatch):
    monkeypatch.setattr("streamlit.get_option", lambda name: "127.0.0.1")
    with pytest.raises(UserError, match=r"cannot be a file or folder here: .*\. Check the path"):
        way(typed)


@pytest.mark.parametrize("typed", NO_PATHS, ids=range(len(NO_PATHS)))
def test_runs_of_data_that_cannot_be_here_keep_a_name(typed):
    """They come from another machine, and are listed with the others."""
    assert dataset_name(typed) == Path(typed).name


@pytest.mark.parametrize("tag", ["~nosuchuser/x", "a" * 300])
def test_weights_of_an_architecture_that_are_no_path(tag):
    for way in (check_backbone_name, clip_stamp, absolute_name):
        with pytest.raises(UserError, match="cannot be a file or folder"):
            way(f"ViT-B-32/{tag}")


def test_paths_need_not_exist(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    assert user_path(str(tmp_path / "nowhere")) == tmp_path / "nowhere"
    assert user_path(str(tmp_path / "file/inside")) == tmp_path / "file/inside"
    monkeypatch.setenv("HOME", str(tmp_path))
    assert user_path("~/file") == tmp_path / "file"
    assert user_path("") == Path()
    assert repository_in("someone/clip-model") == "someone/clip-model"
