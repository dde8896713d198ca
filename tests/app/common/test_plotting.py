"""What all figures share."""

from __future__ import annotations

import plotly.graph_objects as go
import pytest
from plotly.subplots import make_subplots

from app.common.plotting import LEAST_WIDTH, plain, widest


@pytest.mark.parametrize(
    ("rows", "columns", "height", "width"),
    [(1, 1, 400, 1200), (1, 1, 120, LEAST_WIDTH), (1, 3, 300, 1800), (2, 1, 400, 1200)],
)
def test_a_figure_is_never_flat(rows, columns, height, width):
    """The greatest width grows with the height and with the panels beside each other."""
    figure = plain(make_subplots(rows, columns), height)
    assert widest(figure) == width


def test_a_figure_without_a_height_has_plotlys():
    assert widest(go.Figure()) == 3 * 450
