"""Prints the documents' tables of methods, recipes, measures, built-in sets and results.

They are drawn from their records, and from RESULTS.csv.

`python docs/record_tables.py` prints them; with `--write`, each is put into its document, between
two marks.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path

import result_tables

from mocoop.datasets.base import SPLITS
from mocoop.datasets.builtin import load_builtin
from mocoop.datasets.builtin_cards import RULES
from mocoop.evaluation.measure_table import MEASURES
from mocoop.markdown import markdown_table
from mocoop.method_record import Settings
from mocoop.methods import MENU
from mocoop.published import compared, families

ROOT = Path(__file__).parents[1]
BETTER = {1: "more", -1: "less", 0: "–"}


def methods() -> str:
    """Returns the table of methods."""
    rows = []
    for key, method in MENU.items():
        paper = method.paper
        name = f"[{method.label}]({paper.url})" if paper else method.label
        rows.append((f"`{key}`", name, method.summary, method.use))
    return markdown_table(("method", "name", "what it does", "what it is for"), rows)


def recipes() -> str:
    """Returns the table of recipes."""
    rows = []
    for key, method in MENU.items():
        if method.learns_in_epochs or method.fits_image_features:
            published = method.published
            elsewhere = [_words(published.settings)]
            elsewhere += [f"{data}: {_words(own)}" for data, own in published.by_data.items()]
            cells = _words(method.demo), "; ".join(elsewhere), published.source
            rows.append((f"`{key}`", *cells))
    return markdown_table(("method", "built-in CLIP", "other CLIPs", "published by"), rows)


def published() -> str:
    """Returns the tables of published recipes beside ours, one for each paper."""
    parts = []
    for first, methods in families(MENU.values()):
        found = {
            method.key: {line.setting: line for line in compared(method)} for method in methods
        }
        settings = dict.fromkeys(name for lines in found.values() for name in lines)
        rows = []
        for name in settings:
            lines = {key: own[name] for key, own in found.items() if name in own}
            line = next(iter(lines.values()))
            ours = _by_method({key: own.ours for key, own in lines.items()})
            rows.append((name, line.published, ours, line.source))
        keys = ", ".join(f"`{method.key}`" for method in methods)
        table = markdown_table(("setting", "published", "ours", "source"), rows)
        parts.append(f"## {first.label}\n\n{keys}\n\n{table}")
    return "\n\n".join(parts)


def measures() -> str:
    """Returns the table of measures."""
    rows = [
        (name, measure.unit or "0 to 1", BETTER[measure.better], measure.computed)
        for name, measure in MEASURES.items()
    ]
    return markdown_table(("measure", "unit", "better", "what it is"), rows)


def built_in_sets() -> str:
    """Returns the table of built-in data sets."""
    rows = []
    for name, rule in RULES.items():
        data = load_builtin(name)
        numbers = " / ".join(f"{len(data.items(split)):,}" for split in SPLITS)
        card = rule.card
        words = card.label, f"{card.could} {card.could_not}"
        rows.append((f"`{name}`", str(len(rule.classes)), numbers, *words))
    head = ("set", "classes", "train / val / test", "what a label means", "what prompts learn")
    return markdown_table(head, rows)


TABLES: dict[str, tuple[str, Callable[[], str]]] = {
    "methods": ("docs/methods.md", methods),
    "recipes": ("docs/methods.md", recipes),
    "published": ("docs/published.md", published),
    "measures": ("docs/protocols.md", measures),
    "built-in sets": ("docs/data.md", built_in_sets),
    **result_tables.TABLES,
}
"""Name → the document that has the table, and what draws it."""


def marks(name: str) -> tuple[str, str]:
    """Returns the lines before and after a table in its document."""
    return f"<!-- {name}: python docs/record_tables.py --write -->\n", f"<!-- end of {name} -->\n"


def with_table(text: str, name: str) -> str:
    """Returns a document's text with the table of today between its marks."""
    first, last = marks(name)
    before, start, rest = text.partition(first)
    _, end, after = rest.partition(last)
    if not (start and end):
        raise ValueError(f"the text needs the lines {first.strip()} and {last.strip()}")
    return f"{before}{start}\n{TABLES[name][1]()}\n\n{end}{after}"


def _by_method(cells: Mapping[str, str]) -> str:
    """Returns a cell for several methods: one text, or which methods have which."""
    texts = list(dict.fromkeys(cells.values()))
    if len(texts) == 1:
        return texts[0]
    parts = []
    for text in texts:
        keys = ", ".join(f"`{key}`" for key, own in cells.items() if own == text)
        parts.append(f"{text} ({keys})")
    return "; ".join(parts)


def _words(settings: Settings) -> str:
    """Returns settings in a cell of a table."""
    return ", ".join(f"{name} {value}" for name, value in settings.items()) or "the defaults"


def main() -> None:
    """Prints the tables, or writes them into their documents."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write them into the documents")
    write = parser.parse_args().write
    for name, (document, draw) in TABLES.items():
        if write:
            path = ROOT / document
            path.write_text(with_table(path.read_text(encoding="utf-8"), name), encoding="utf-8")
        else:
            print("\n".join(draw()), end="\n\n")


if __name__ == "__main__":
    main()
