"""Names from outside are text on every page: no picture is fetched, no link leads elsewhere."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from google.protobuf.message import Message
from markdown_it import MarkdownIt

from app.ui.safe_markdown import without_links
from mocoop.assets import asset
from tests.support.page_fixtures import open_page

EVIL = "evil.example"
HOSTILE = (
    f"![i](http://{EVIL}/i.png)",
    f"[x](https://{EVIL})",
    f"<http://{EVIL}>",
    f"see http://{EVIL}/a?b=c",
    f"www.{EVIL}",
    f"[x][y]\n\n[y]: http://{EVIL}",
    f"![i][y]\n\n[y]: //{EVIL}/i.png",
    f"[x](//{EVIL})",
    f"[x](/{EVIL})",
    f"[x](javascript:alert('{EVIL}'))",
    f"[x](<http://{EVIL}>)",
    f"a@{EVIL}",
    f"[![i](http://{EVIL}/i.png)](http://{EVIL})",
    f"[x](train?http://{EVIL})",
)
MARKDOWN = {"body", "label", "help", "text", "title", "caption", "captions"}


@pytest.mark.parametrize("text", HOSTILE)
def test_links_are_shown_as_text(text):
    markdown = MarkdownIt("commonmark")
    html = markdown.render(without_links(f"The run {text} is gone."))
    assert "<img" not in html
    assert not re.search(r"://|www\.|@\w", without_links(text))  # which browsers make links of
    assert "href" not in html
    assert without_links(without_links(text)) == without_links(text)


def test_what_the_app_writes_itself_stays():
    for text in (
        "**bold**, `code`, :material/check: and *more* [Train](train?view=Data) · a: b",
        "licence [MIT](https://huggingface.co/timm/vit)",
        "- one\n- two\n\n$x < y$, 3 // 4 and tensors[0](1)".replace("](", "] ("),
    ):
        assert without_links(text) == text.replace("//", "//")


def told(messages):
    """Yields every text that the browser reads as Markdown."""
    for message in messages:
        for field, value in message.ListFields():
            if isinstance(value, str) and field.name in MARKDOWN:
                yield value
            elif isinstance(value, Message):
                yield from told([value])
            elif field.type == field.TYPE_MESSAGE:
                yield from told(one for one in value if isinstance(one, Message))


@pytest.fixture
def hostile_run(empty_runs):
    """A finished run whose own name, classes, groups and templates are hostile."""
    name = "![i](x.png) [y](z)"
    folder = empty_runs / name
    shutil.copytree(asset("runs") / "albums-mocoop-16shot", folder)
    config = json.loads((folder / "config.json").read_text())
    config["class_names"][:2] = [HOSTILE[0], HOSTILE[1]]
    groups = list(config["groups"].items())
    groups[0] = (HOSTILE[0], [f"{{}} {HOSTILE[0]}."])
    config["groups"] = dict(groups)
    config["imported"] = HOSTILE[0]
    (folder / "config.json").write_text(json.dumps(config))
    shutil.copytree(folder, empty_runs / "![d](e.png)")
    (empty_runs / "![d](e.png)" / "status.json").write_text("{")
    return name


@pytest.mark.parametrize(
    "page", ["home", "train", "routing", "prompt_space", "compare", "data", "overfitting_lab"]
)
def test_every_page_shows_hostile_names_as_text(hostile_run, page):
    for run in (hostile_run, HOSTILE[0]):
        app = open_page(
            f"pages/{page}.py", run=run, runs=run, data=HOSTILE[0], sample="9" * 5000,
            classes=HOSTILE[1],
        )  # fmt: skip
        assert not app.exception
        messages = [node.proto for node in app.main if getattr(node, "proto", None) is not None]
        texts = [text for text in told(messages) if "<svg" not in text and "<style" not in text]
        assert texts
        for text in texts:
            assert without_links(text) == text
