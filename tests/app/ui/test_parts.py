"""Figures as pages of their own: whole, offline, and named as the figure is."""

from __future__ import annotations

import plotly.graph_objects as go

from app.ui.figure_page import figure_page


def test_figure_page_stands_alone():
    figure = go.Figure(go.Bar(x=["photo", "sketch"], y=[2, 7]))
    page = figure_page(figure, 'a "name"', "Who gets <what>")
    assert page.lstrip().startswith("<!doctype html>")
    assert page.rstrip().endswith("</html>")
    assert "<title>Who gets &lt;what&gt;</title>" in page
    assert '"sketch"' in page
    assert 'filename: "a \\"name\\""' in page
    assert "{plot_id}" not in page
    assert "plotly.js v" in page  # the whole of it: nothing is fetched
    assert 'src="http' not in page
