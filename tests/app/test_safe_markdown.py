"""Names from outside are text on every page: no picture is fetched, no link leads elsewhere."""

from __future__ import annotations

import json
import re
import shutil

import pytest
from google.protobuf.message import Message
from markdown_it import MarkdownIt
from streamlit.testing.v1 import AppTest

from app.common import state
from app.common.words import escape_markdown
from app.ui.safe_markdown import as_option, without_directives, without_links
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
MARKDOWN = {"body", "label", "help", "text", "title", "caption", "captions", "content", "delta"}


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


@pytest.mark.parametrize("text", ["$x$ :red[b]", "a `b` $5", "\\$x$", "C:\\:red[x]"])
def test_nothing_is_escaped_twice(text):
    """Two backslashes are one that is shown, and what follows them is alive again."""
    once = escape_markdown(text)
    assert without_directives(once) == once
    again = without_directives(text)
    assert without_directives(again) == again
    assert not re.search(r"(?<!\\)(\\\\)*[$]", without_directives(once))


@pytest.mark.parametrize("text", [*HOSTILE, ":material/home: :red[x] $x$ *y*"])
def test_an_option_is_text_and_comes_back_unchanged(text):
    """`protect` leaves an option as it is: its text is what the browser sends back."""
    option = as_option(text)
    assert without_links(option) == option
    assert option == as_option(text)
    assert MarkdownIt("commonmark").renderInline(option).count("<") == 0
    assert as_option("low resolution") == "low resolution"


def test_options_of_every_kind_are_protected():
    """Also those of widgets that no page has yet; pills and radio buttons read Markdown."""
    given = [HOSTILE[0], "plain"]

    def page(given):
        import streamlit as st

        from app.ui.safe_markdown import protect

        protect()
        st.pills("a", given)
        st.segmented_control("b", given)
        st.radio("c", given)
        st.select_slider("d", given)
        st.selectbox("e", given)  # whose options are no Markdown
        st.metric("f", "1", given[0])

    app = AppTest.from_function(page, args=(given,)).run()
    assert not app.exception
    safe = [without_links(given[0]), "plain"]
    assert safe != given
    for group in app.get("button_group"):
        assert [one.content for one in group.proto.options] == safe
    assert len(app.get("button_group")) == 2
    assert list(app.radio[0].proto.options) == list(app.select_slider[0].proto.options) == safe
    assert list(app.selectbox[0].proto.options) == given
    assert app.metric[0].proto.delta == safe[0]


def test_an_expert_with_a_hostile_name_can_be_chosen(one_run):
    config = json.loads((one_run.path / "config.json").read_text())
    groups = list(config["groups"].items())
    config["groups"] = {HOSTILE[0]: groups[0][1], **dict(groups[1:])}
    (one_run.path / "config.json").write_text(json.dumps(config))
    other = groups[1][0]

    def pills():
        return next(one for one in app.get("button_group") if one.key == state.OF_EXPERT)

    app = open_page("pages/routing.py", run=one_run.name, view="Expert by expert", of_expert=other)
    assert not app.exception
    assert pills().value == other
    assert pills().proto.options[0].content == as_option(HOSTILE[0])
    pills().set_value(HOSTILE[0]).run()
    assert not app.exception
    assert pills().value == HOSTILE[0]
    linked = as_option(HOSTILE[0])
    app = open_page(
        "pages/routing.py", run=one_run.name, view="Expert by expert", of_expert=linked
    )
    assert pills().value == HOSTILE[0]


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
