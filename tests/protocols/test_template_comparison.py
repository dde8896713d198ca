"""Made groups of templates beside hand-made ones and controls."""

import pytest

from mocoop.errors import UserError
from mocoop.presets import preset
from mocoop.protocols.plans import Task
from mocoop.protocols.template_comparison import of_kinds
from mocoop.results.rows import Row
from mocoop.results.template_groups import difference, groups_table, half_width


def row(label, seed, data, measure, value):
    return Row("ablation", data, data, label, 16, seed, measure, value)


def rows_of(values):
    return [
        row(label, seed, data, "accuracy", value) for (label, seed, data), value in values.items()
    ]


def test_differences_are_paired_by_seed():
    """Means over data sets first, then an interval over seeds."""
    rows = rows_of(
        {
            ("hand", 1, "a"): 50.0, ("hand", 2, "a"): 60.0, ("hand", 1, "b"): 10.0,
            ("hand", 2, "b"): 20.0, ("made", 1, "a"): 51.0, ("made", 2, "a"): 64.0,
            ("made", 1, "b"): 13.0, ("made", 2, "b"): 20.0, ("made", 3, "b"): 99.0,
        }
    )  # fmt: skip
    found = difference(rows, "made", "hand", "accuracy")
    assert (found.mean, found.half, found.seeds) == (2.0, 0.0, 2)
    assert difference(rows, "made", "hand", "HM") is None
    # Student's quantile for 1 degree of freedom is 12.706.
    assert half_width([1.0, 3.0]) == pytest.approx(12.706, abs=1e-3)
    assert half_width([1.0]) is None


def test_the_table():
    rows = rows_of({("hand", 1, "a"): 50.0, ("made", 1, "a"): 51.5})
    table = groups_table(rows, "hand", {("made", "a"): 0.25}).splitlines()
    assert [cell.strip() for cell in table[2].split("|")[1:-1]][:3] == ["a", "hand", "50.0"]
    made = [cell.strip() for cell in table[3].split("|")[1:-1]]
    assert made == ["a", "made", "51.5", "–", "–", "–", "+1.5", "–", "0.25"]
    assert len(table) == 4  # with one data set there is no mean


def test_means_are_over_all_data_sets():
    """A kind that one set does not have, such as a control, has no mean beside the others'."""
    values = {("hand", 1, "a"): 50.0, ("hand", 1, "b"): 70.0, ("made", 1, "a"): 51.5}
    table = [
        line.split("|")[1:-1] for line in groups_table(rows_of(values), "hand", {}).split("\n")
    ]
    found = [[cell.strip() for cell in cells][:3] for cells in table[2:] if cells]
    assert found == [
        ["a", "hand", "50.0"], ["a", "made", "51.5"],
        ["b", "hand", "70.0"], ["b", "made", "–"], ["mean", "hand", "60.0"],
    ]  # fmt: skip


def test_only_some_kinds_are_trained():
    tasks = [Task("ablation", kind, preset("mocoop"), 16, (1,)) for kind in ("hand", "made") * 2]
    assert of_kinds(tasks, ()) == tasks
    assert [task.label for task in of_kinds(tasks, ("made",))] == ["made", "made"]
    with pytest.raises(UserError, match="hand"):
        of_kinds(tasks, ("hend",))
