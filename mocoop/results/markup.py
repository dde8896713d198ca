"""Tables as Markdown and as LaTeX (booktabs)."""

from __future__ import annotations

import re
from collections.abc import Callable

from mocoop.markdown import markdown_table
from mocoop.results.cells import Cell, Table

_MARKDOWN = re.compile(r"[\\|*_`<\[\]$]")
_LATEX = {
    "\\": r"\textbackslash{}",
    "{": r"\{",
    "}": r"\}",
    "$": r"\$",
    "&": r"\&",
    "#": r"\#",
    "_": r"\_",
    "%": r"\%",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "[": "{[}",  # at the start of a row, LaTeX would read it as an option of the row above
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    "±": r"$\pm$",
    "·": r"$\cdot$",
    "×": r"$\times$",
    "→": r"$\rightarrow$",
    "−": r"$-$",
    "Δ": r"$\Delta$",
    "λ": r"$\lambda$",
    "τ": r"$\tau$",
    "–": "--",
    "†": r"$\dagger$",
    "‡": r"$\ddagger$",
}


def to_markdown(table: Table) -> str:
    """Returns title, notes and table as GitHub Markdown."""
    heads = [_markdown(head) for head in (*table.heads, *table.columns)]
    rows = []
    for block in table.blocks:
        if block.title:
            rows.append([f"*{_markdown(block.title)}*", *[""] * (len(heads) - 1)])
        for line in block.lines:
            labels = [_markdown(label) for label in line.labels]
            cells = [_cell(cell, _markdown, "**{}**") for cell in line.cells]
            rows.append(labels + cells)
    title = f"**{_markdown(table.title)}.** {_markdown(table.notes)}".rstrip()
    align = "l" * len(table.heads) + "r" * len(table.columns)
    return f"{title}\n\n{markdown_table(heads, rows, align)}\n"


def to_latex(table: Table) -> str:
    r"""Returns a LaTeX `table` that needs `\usepackage{booktabs}`, with caption and label."""
    width = len(table.heads) + len(table.columns)
    lines = [
        r"\begin{table}",
        r"\centering",
        rf"\caption{{\textbf{{{_latex(table.title)}.}} {_latex(table.notes)}}}",
        rf"\label{{tab:{table.name}}}",
        rf"\begin{{tabular}}{{{'l' * len(table.heads)}{'r' * len(table.columns)}}}",
        r"\toprule",
        _latex_row([_latex(head) for head in (*table.heads, *table.columns)]),
    ]
    for block in table.blocks:
        lines.append(r"\midrule")
        if block.title:
            title = rf"\emph{{{_latex(block.title)}}}"
            lines.append(_latex_row([rf"\multicolumn{{{width}}}{{l}}{{{title}}}"]))
        for line in block.lines:
            labels = [_latex(label) for label in line.labels]
            cells = [_cell(cell, _latex, r"\textbf{{{}}}") for cell in line.cells]
            lines.append(_latex_row(labels + cells))
    lines += [r"\bottomrule", r"\end{tabular}", r"\end{table}"]
    return "\n".join(lines) + "\n"


def _cell(cell: Cell, escape: Callable[[str], str], bold: str) -> str:
    """Returns the text "mean ± std (note)", with the mean in bold if the cell is bold."""
    text = "–"
    if cell.mean is not None:
        # Rounding first and adding 0.0 shows -0.04 as 0.0, not as -0.0.
        mean = round(cell.mean, cell.digits) + 0.0
        text = f"{mean:{'+' if cell.signed else ''}.{cell.digits}f}".replace("-", "−")
    shown = bold.format(escape(text)) if cell.bold else escape(text)
    if cell.std is not None:
        shown += f" {escape('±')} {cell.std:.{cell.digits}f}"
    return shown + (f" ({escape(cell.note)})" if cell.note else "")


def _markdown(text: str) -> str:
    return _MARKDOWN.sub(r"\\\g<0>", " ".join(text.split()))


def _latex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in " ".join(text.split()))


def _latex_row(cells: list[str]) -> str:
    return " & ".join(cells) + r" \\"
