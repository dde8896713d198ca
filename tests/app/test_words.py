"""The texts that a page shows stand in files of words, so that they can be read in one go.

A view is a file that imports Streamlit. It may hold keys, icons, paths and HTML, and single words
that are values of a setting, but no sentence: no literal of three words or more.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = sorted(
    [*(ROOT / "app").rglob("*.py"), *(ROOT / "pages").glob("*.py"), ROOT / "streamlit_app.py"]
)
MOST = 2  # words in a row
WORD = re.compile(r"\W*[^\W\d_][\w'’-]*\W*")
MARKUP = re.compile(r"<[^>]*>|:material/\w+:")


def is_view(tree: ast.Module) -> bool:
    """Returns whether a file imports Streamlit."""
    return any(
        name.name == "streamlit"
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for name in node.names
    )


def literals(node: ast.AST) -> Iterator[tuple[int, str]]:
    """Yields line and text of the literals below a node, but no docstrings and no errors.

    What stands in an f-string is {}, so that it does not count as a word.
    """
    if isinstance(node, ast.Raise):
        return  # errors stand where they are raised
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        yield node.lineno, node.value
        return
    if isinstance(node, ast.JoinedStr):
        parts = [part.value if isinstance(part, ast.Constant) else "{}" for part in node.values]
        yield node.lineno, "".join(str(part) for part in parts)
        for part in node.values:
            if isinstance(part, ast.FormattedValue):
                yield from literals(part.value)
        return
    for child in ast.iter_child_nodes(node):
        yield from literals(child)


def is_sentence(text: str) -> bool:
    """Returns whether a text has more than `MOST` words, apart from markup."""
    words = [part for part in MARKUP.sub(" ", text).split() if WORD.fullmatch(part)]
    return len(words) > MOST


def sentences(source: str) -> list[str]:
    """Returns the sentences in the source of a view, with their lines."""
    tree = ast.parse(source)
    if not is_view(tree):
        return []
    return [f"{line}: {text}" for line, text in literals(tree) if is_sentence(text)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_view_has_no_sentences_of_its_own(path):
    assert sentences(path.read_text()) == []


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ('st.info("No run is here.")', True),
        ('st.info(f"{name} is not here.")', True),
        ('help_ = "What this is for."', True),
        ('st.info(words.NO_RUN, icon=":material/info:")', False),
        ('st.html("<div style=\\"color: red\\"><b>not found</b></div>")', False),
        ('raise UserError("There is no run.")', False),
        ('"""Says that there is no run."""', False),
        ('st.selectbox("Data set", names, key=f"{key} {name}")', False),
    ],
)
def test_sentences_are_found(line, found):
    assert bool(sentences(f"import streamlit as st\n{line}\n")) is found
    assert sentences(line) == []


def test_files_of_words_need_no_streamlit():
    own = [path for path in FILES if path.stem.endswith("words")]
    assert len(own) > 10
    assert not [path for path in own if is_view(ast.parse(path.read_text()))]
