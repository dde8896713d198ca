"""Results as CSV, Markdown and LaTeX, what is refused, and the published numbers."""

from __future__ import annotations

import re

import pytest

from mocoop.errors import UserError
from mocoop.results import published
from mocoop.results.cells import Block, Cell, Line, Table
from mocoop.results.every_seed import every_seed
from mocoop.results.markup import to_latex, to_markdown
from mocoop.results.published import published_domain_table
from mocoop.results.tables import (
    Row,
    ablation_table,
    base_to_new_tables,
    few_shot_tables,
    from_csv,
    measure_table,
    to_csv,
    transfer_tables,
)
from tests.support.result_example import base_to_new_rows, few_shot_rows, labels, rows_of


@pytest.fixture
def few_shot():
    return few_shot_rows()


@pytest.fixture
def base_to_new():
    return base_to_new_rows()


def test_csv_keeps_every_digit_and_the_order(few_shot):
    """What is read is what was written, commas, quotes and line ends in names included."""
    odd = [Row("ablation", 'a "b", c\nd', "|", "é", 0, 2**32 - 1, "HM", 100 / 3)]
    rows = few_shot[::-1] + odd
    text = to_csv(rows)
    assert from_csv(text) == tuple(rows)
    assert to_csv(from_csv(text)) == text
    columns = "protocol,data,target,method,shots,seed,measure,value,chosen_on_test,all_names,"
    assert text.startswith(f"{columns}style\n")
    assert from_csv(text.split("\n")[0] + "\n") == ()
    assert from_csv(to_csv(few_shot).replace("\n", "\r\n")) == tuple(few_shot)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", r"got nothing\. Give the CSV file that the protocols wrote"),
        ("a,b\n", r"columns protocol, data, .*; got a, b\."),
        ("few-shot,a,a,coop,16,1,accuracy", r"Line 2 is not a result: expected 11 cells"),
        (
            "few-shot,a,a,coop,x,1,accuracy,8,0,0,",
            r"integers for shots and.*few-shot,a,a,coop,x",
        ),
        ("few-shot,a,a,coop,16,1,accuracy,8", r"expected 11 cells .*8 cells"),
        ("few-sht,a,a,coop,16,1,accuracy,8,0,0,", r"Line 2 .*Did you mean 'few-shot'"),
    ],
)
def test_files_that_are_no_results(text, message):
    """The line that does not fit is named."""
    header = to_csv([]) if text.startswith("few") else ""
    with pytest.raises(UserError, match=message):
        from_csv(header + text)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"protocol": "fewshot"}, r"Unknown protocol 'fewshot'.*Did you mean 'few-shot'"),
        ({"data": " "}, r"data of a result must not be empty"),
        ({"shots": -2}, r"shots and seed must be at least 0 \(-1 shots for all .*; got -2 and 1"),
        ({"value": float("nan")}, r"accuracy of coop on faces must be a finite number; got nan"),
    ],
)
def test_row_checks(changes, message):
    """A row that cannot be is refused."""
    good = {"protocol": "few-shot", "data": "faces", "target": "faces", "method": "coop",
            "shots": 16, "seed": 1, "measure": "accuracy", "value": 80.0}  # fmt: skip
    assert Row(**good).value == 80.0
    with pytest.raises(UserError, match=message):
        Row(**good | changes)


@pytest.mark.parametrize(
    "summary",
    [
        few_shot_tables,
        base_to_new_tables,
        ablation_table,
        lambda rows: transfer_tables(rows, "cross-dataset"),
        lambda rows: measure_table(rows, "accuracy"),
        lambda rows: every_seed(rows, "accuracy"),
    ],
)
def test_no_rows(summary):
    """Without results the error says which are missing, what there is and what to do."""
    with pytest.raises(UserError, match=r"Expected results for .*; got no rows\. Run that"):
        summary([])
    other = rows_of("few-shot", "faces", "coop", [0.5], "style NMI")
    with pytest.raises(UserError, match=r"got style NMI in few-shot"):
        summary(other)


def test_unclear_requests(few_shot):
    """A result twice, a measure of two protocols and an unknown protocol are refused."""
    with pytest.raises(UserError, match=r"Two results for accuracy of coop on faces, 2 shots, "
                                        r"seed 1: 70\.0 and 71\.0\. Remove one"):  # fmt: skip
        few_shot_tables(few_shot + rows_of("few-shot", "faces", "coop", [71.0], shots=2))
    both = few_shot + rows_of("ablation", "faces", "full", [80.0])
    with pytest.raises(UserError, match="measured by few-shot and ablation: choose one of them"):
        measure_table(both, "accuracy")
    assert labels(measure_table(both, "accuracy", "ablation")) == ["full"]
    with pytest.raises(UserError, match="Unknown protocol of a transfer table 'few-shot'"):
        transfer_tables(few_shot, "few-shot")


@pytest.fixture
def odd_table():
    """A table whose texts mean something to Markdown and LaTeX."""
    cells = (Cell(-0.04, 1.25, 3, signed=True), Cell(50.0, bold=True), Cell(note="n_1"))
    lines = (Line(("a_b|c", "50% & #1"), cells), Line(("[x] {y}", "~^\\$"), cells))
    blocks = (Block(lines), Block(lines[:1], "Published: *"))
    return Table("odd", "Odd_table", "±  →\n–", ("method", "x"), ("Δ HM", "b", "c"), blocks)


def test_markdown_columns(odd_table, few_shot, base_to_new):
    """Every line of a table has as many cells as its head, whatever the names."""
    tables = [odd_table, *few_shot_tables(few_shot), *base_to_new_tables(base_to_new),
              every_seed(few_shot, "accuracy"), published_domain_table()]  # fmt: skip
    for table in tables:
        lines = to_markdown(table).splitlines()
        assert lines[1] == ""
        bars = {len(re.findall(r"(?<!\\)\|", line)) for line in lines[2:]}
        assert bars == {len(table.heads) + len(table.columns) + 1}
    text = to_markdown(odd_table)
    assert r"| a\_b\|c | 50% & #1 | +0.0 ± 1.2 | **50.0** | – (n\_1) |" in text
    assert r"| *Published: \** |  |  |  |  |" in text
    assert text.startswith("**Odd\\_table.** ± → –\n")


def test_latex(odd_table):
    """Special characters are escaped, rows complete, rules from booktabs."""
    text = to_latex(odd_table)
    assert r"a\_b$|$c & 50\% \& \#1 & +0.0 $\pm$ 1.2 & \textbf{50.0} & -- (n\_1) \\" in text
    assert r"{[}x] \{y\} & \textasciitilde{}\textasciicircum{}\textbackslash{}\$ &" in text
    assert r"\caption{\textbf{Odd\_table.} $\pm$ $\rightarrow$ --}" in text
    assert r"\multicolumn{5}{l}{\emph{Published: *}} \\" in text
    assert r"method & x & $\Delta$ HM & b & c \\" in text
    assert r"\begin{tabular}{llrrr}" in text
    rules = re.findall(r"\\(toprule|midrule|bottomrule)", text)
    assert rules == ["toprule", "midrule", "midrule", "bottomrule"]
    assert text.isascii()
    rows = [line for line in text.splitlines() if line.endswith(r"\\") and "multi" not in line]
    assert {len(re.findall(r"(?<!\\)&", line)) for line in rows} == {4}


def test_tables_of_sets_in_any_script_have_labels_of_their_own():
    """In LaTeX, two labels of one name are a mistake."""
    values = (("Katzen", 1), ("猫", 2), ("犬", 3))
    rows = [Row("few-shot", s, s, "coop", 16, 1, "accuracy", 50.0 + n) for s, n in values]
    found = re.findall(r"\\label{tab:(.*)}", "".join(map(to_latex, few_shot_tables(rows))))
    assert found == [
        "few-shot-accuracy-average",
        *(f"few-shot-accuracy-{name}" for name in ("katzen", "猫", "犬")),
    ]


def test_digits_by_measure():
    """Percents and seconds have one decimal, measures from 0 to 1 three."""
    rows = [
        *rows_of("few-shot", "faces", "a", [3.456], "calibration error"),
        *rows_of("few-shot", "faces", "a", [0.98765], "routing load balance"),
        *rows_of("few-shot", "faces", "a", [12.345], "training seconds"),
    ]
    shown = [
        to_markdown(measure_table(rows, measure)).splitlines()[-1]
        for measure in ("calibration error", "routing load balance", "training seconds")
    ]
    assert shown == ["| a | 3.5 |", "| a | 0.988 |", "| a | 12.3 |"]


@pytest.mark.parametrize("row", published.BASE_TO_NEW, ids=lambda row: row.method)
def test_published_harmonic_means(row):
    """HM = 2·b·n / (b + n) of the printed numbers, up to their rounding."""
    if row.source is None:
        assert (row.base, row.new, row.harmonic_mean) == (None, None, None)
    else:
        expected = 2 * row.base * row.new / (row.base + row.new)
        assert row.harmonic_mean == pytest.approx(expected, abs=0.02)


def test_published_sources():
    """Every method comes from a paper, and only MoCoOp's numbers are not available."""
    for rows in (published.BASE_TO_NEW, published.DOMAIN_GENERALIZATION):
        papers = [row.paper for row in rows] + [row.source for row in rows if row.source]
        assert all(re.fullmatch(r"\d{4}\.\d{5}", paper.arxiv) for paper in papers)
        assert [row.method for row in rows if row.source is None] == ["MoCoOp"]
        assert len({row.method for row in rows}) == len(rows)
    assert {len(row.targets) for row in published.DOMAIN_GENERALIZATION} == {
        len(published.DOMAINS)
    }
