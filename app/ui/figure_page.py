"""A figure as an HTML page of its own, with buttons that save it as a picture."""

from __future__ import annotations

import html
import json

import plotly.graph_objects as go

from app.ui.words import SAVE_AS

# In a saved page, Plotly itself exports the figure, so nothing else needs to be installed.
_BUTTONS = """
for (const format of ["png", "svg"]) {
  const button = document.createElement("button");
  button.textContent = SAVE_AS + " " + format.toUpperCase();
  button.style.margin = "8px";
  const options = {format: format, filename: NAME, scale: 2};
  button.onclick = () => Plotly.downloadImage("{plot_id}", options);
  document.body.prepend(button);
}
"""


def figure_page(figure: go.Figure, name: str, title: str) -> str:
    """Returns an HTML page with the figure and buttons for PNG and SVG; it works offline.

    Args:
        figure: the figure.
        name: name of the files that the buttons save, without suffix.
        title: title of the page, which says what the figure shows.
    """
    script = _BUTTONS.replace("SAVE_AS", json.dumps(SAVE_AS)).replace("NAME", json.dumps(name))
    page: str = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        auto_play=False,  # a figure with frames moves only when its reader starts it
        default_width="100%",
        config={"displaylogo": False, "responsive": True},
        post_script=script,
    )
    return page.replace("<head>", f"<head><title>{html.escape(title)}</title>", 1)
