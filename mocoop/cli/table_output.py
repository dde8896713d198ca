"""Options and output of the commands that print result tables."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from mocoop.cli.console import print_json
from mocoop.cli.option_types import MaybePath
from mocoop.cli.output_paths import check_file
from mocoop.errors import UserError

if TYPE_CHECKING:
    from mocoop.results.cells import Table
    from mocoop.results.rows import Row


@dataclass(frozen=True)
class TableOutput:
    """Options for the output of result tables."""

    csv: MaybePath = None
    """Also write the numbers of every seed to this CSV file."""
    means_csv: MaybePath = None
    """Also write the means over seeds to this CSV file, with both standard deviations: sample
    (n - 1, as in the tables) and population (n, as CoOp's script prints it)."""
    markdown: MaybePath = None
    """Also write the tables to this Markdown file."""
    latex: MaybePath = None
    """Also write the tables to this LaTeX file (it needs the LaTeX package booktabs)."""
    json: bool = False
    """Print the numbers of every seed as one JSON document instead of tables."""


def check_files(output: TableOutput) -> None:
    """Raises UserError for files that cannot be written. Runs before anything is trained."""
    options: dict[Path, str] = {}
    for option in ("csv", "means_csv", "markdown", "latex"):
        path, name = getattr(output, option), f"--{option.replace('_', '-')}"
        check_file(name, path)
        other = name if path is None else options.setdefault(path.resolve(), name)
        if other != name:
            raise UserError(f"{other} and {name} name the same file {path}. Name two files.")


def print_tables(rows: Sequence[Row], tables: Sequence[Table], output: TableOutput) -> None:
    """Prints the tables or one JSON document, and writes the requested files."""
    from mocoop.results.markup import to_latex, to_markdown
    from mocoop.results.means import means_csv
    from mocoop.results.tables import to_csv
    from mocoop.storage.atomic import write_text

    markdown = "\n".join(to_markdown(table) for table in tables)
    texts = (
        (output.csv, to_csv(rows)),
        (output.means_csv, means_csv(rows)),
        (output.markdown, markdown),
        (output.latex, "\n".join(to_latex(table) for table in tables)),
    )
    for path, text in texts:
        if path is not None:
            write_text(path, text)
    if output.json:
        print_json([asdict(row) for row in rows])
    else:
        print(markdown, end="")
