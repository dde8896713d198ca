"""Run folders that are deleted or damaged while the app is running."""

from __future__ import annotations

import shutil

import pytest

from tests.support.page_fixtures import open_page

PAGES = ("home", "train", "routing", "prompt_space")
HARM = {
    "deleted": None,
    "status.json": "{",
    "config.json": "{",
    "results.json": "{",
    "results.json without content": "{}",
    "metrics.jsonl": "no record\n\x00\n",
    "weights.safetensors": "short",
    "features.safetensors": "short",
}
TITLES = {"home": "MoCoOp: a mixture of prompts", "train": "Train", "routing": "Routing",
          "prompt_space": "Prompt space"}  # fmt: skip
GONE = "o finished run yet"
# What a page says; of a file that it does not read it says nothing.
SAID = {
    "home": {"deleted": GONE, "status.json": GONE, "config.json": "config.json cannot be read"},
    "train": {
        "config.json": "config.json cannot be read",
        "results.json": "results.json cannot be read",
        "metrics.jsonl": "metrics.jsonl is damaged",
    },
    "routing": {
        "deleted": GONE,
        "status.json": GONE,
        "config.json": "config.json cannot be read",
        "results.json": "results.json cannot be read",
    },
    "prompt_space": {
        "deleted": GONE,
        "status.json": GONE,
        "config.json": "config.json cannot be read",
        "features.safetensors": "features.safetensors is damaged",
    },
}


def texts(app):
    return " ".join(str(e.value) for kind in (app.error, app.info, app.warning) for e in kind)


@pytest.mark.long
@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("page", PAGES)
def test_page_goes_on_in_words(one_run, page, harm):
    app = open_page(f"pages/{page}.py", run=one_run.name)
    assert not app.exception
    if harm == "deleted":
        shutil.rmtree(one_run.path)
    else:
        (one_run.path / harm.split()[0]).write_text(HARM[harm])
    app.run()
    fresh = open_page(f"pages/{page}.py", run=one_run.name)
    said = SAID[page].get(harm, "")
    for shown in (app, fresh):
        assert not shown.exception
        assert [title.value for title in shown.title] == [TITLES[page]]
        assert said in texts(shown)
        assert bool(said) == bool(texts(shown))
        if page == "train" and harm in ("deleted", "status.json"):
            assert "No training yet" in " ".join(element.value for element in shown.header)


@pytest.mark.parametrize("page", ["routing", "prompt_space"])
def test_deleted_run_leaves_the_page_with_another(one_run, page):
    shutil.copytree(one_run.path, one_run.path.parent / "another")
    app = open_page(f"pages/{page}.py", run=one_run.name)
    shutil.rmtree(one_run.path)
    app.run()
    assert not app.exception
    assert f"run {one_run.name!r}, which does not exist here" in texts(app)
