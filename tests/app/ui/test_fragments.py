"""Fragments and dialogs run by themselves, so each tells a UserError in words by itself."""

from __future__ import annotations

import ast
from pathlib import Path

import app

PARTS = ("fragment", "dialog")
TELLS = "errors_in_words()"


def is_part(node: ast.expr) -> bool:
    """Returns whether an expression is `st.fragment` or `st.dialog`, with arguments or without."""
    while isinstance(node, ast.Call):
        node = node.func
    return isinstance(node, ast.Attribute) and ast.unparse(node) in {f"st.{one}" for one in PARTS}


def part_functions(tree: ast.Module) -> set[str]:
    """Returns the names of the functions of a module that Streamlit runs by themselves."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and any(map(is_part, node.decorator_list)):
            found.add(node.name)
        elif isinstance(node, ast.Call) and is_part(node):
            found.update(one.id for one in node.args if isinstance(one, ast.Name))
    return found


def test_every_fragment_and_dialog_tells_errors_in_words():
    seen = 0
    for path in sorted(Path(app.__path__[0]).rglob("*.py")):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        functions = {one.name: one for one in tree.body if isinstance(one, ast.FunctionDef)}
        for name in part_functions(tree) & set(functions):
            decorators = list(map(ast.unparse, functions[name].decorator_list))
            # The last one is the innermost, within what Streamlit runs.
            assert decorators[-1:] == [TELLS], f"{path.name}: {name}"
            seen += 1
    assert seen > 15
