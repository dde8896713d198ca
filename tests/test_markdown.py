"""Tables in Markdown, whatever their cells hold."""

from __future__ import annotations

import doctest

import pytest

from mocoop import markdown
from mocoop.markdown import markdown_table, one_line


def test_examples():
    assert doctest.testmod(markdown) == (0, 3)


@pytest.mark.parametrize(
    ("value", "text"),
    [("a|b", r"a\|b"), (r"a\|b", r"a\|b"), ("a\n|\tb", r"a \| b"), (3, "3"), ("", "")],
)
def test_no_bar_or_line_break_ends_a_cell(value, text):
    assert one_line(value) == text


def test_alignment():
    table = markdown_table(("a", "b", "c"), [("x", 1, None)], "lrl")
    assert table.splitlines() == ["| a | b | c |", "|---|---:|---|", "| x | 1 | None |"]
    assert markdown_table(("a",), []) == "| a |\n|---|"


def test_cards_show_hostile_names_as_text(tmp_path):
    """A packed run's README and an export's card hold no HTML, picture or link of a name."""
    import json
    import shutil

    from markdown_it import MarkdownIt

    from mocoop.assets import asset
    from mocoop.classifiers.card import classifier_card
    from mocoop.report.notebook import notebook_of
    from mocoop.runs.model_card import model_card
    from mocoop.runs.run import Run

    evil = "<img src=x onerror=y> ![i](http://evil.example/i) [x](http://evil.example) `<b>`"
    shutil.copytree(asset("runs") / "albums-mocoop-16shot", tmp_path / "odd")
    file = tmp_path / "odd" / "config.json"
    values = json.loads(file.read_text())
    values["class_names"][0] = evil
    groups = list(values["groups"].items())
    groups[0] = (evil, [f"{{}} {evil} {number}" for number in range(len(groups[0][1]))])
    values |= {"groups": dict(groups), "imported": evil, "version": evil}
    values["config"] |= {"data": evil, "style": evil}
    file.write_text(json.dumps(values))
    run = Run(tmp_path / "odd")
    notebook = json.loads(notebook_of(run))["cells"]
    written = "\n\n".join("".join(c["source"]) for c in notebook if c["cell_type"] == "markdown")
    card = model_card(run, "a-run")
    for text in (card, classifier_card(run, 4, True).split("---\n", 2)[2], written):
        html = MarkdownIt("gfm-like", {"linkify": False}).render(text)
        assert "<img" not in html
        assert "onerror" in html or text is written
        assert 'href="http://evil' not in html
        assert "<b>" not in html
