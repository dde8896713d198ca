"""What leaves the app as a file: figures as pages of their own."""

from __future__ import annotations

import html
import json

import plotly.graph_objects as go

# In the page, Plotly itself saves the figure, so that nothing has to be installed for it.
_BUTTONS = """
for (const format of ["png", "svg"]) {
  const button = document.createElement("button");
  button.textContent = "Save as " + format.toUpperCase();
  button.style.margin = "8px";
  const options = {format: format, filename: NAME, scale: 2};
  button.onclick = () => Plotly.downloadImage("{plot_id}", options);
  document.body.prepend(button);
}
"""


def figure_page(figure: go.Figure, name: str, title: str) -> str:
    """Returns a figure as a whole page that needs no network, with buttons for PNG and SVG.

    Args:
        figure: the figure.
        name: of the files that the buttons save, without suffix.
        title: what the figure shows, in words.
    """
    page: str = figure.to_html(
        include_plotlyjs=True,
        full_html=True,
        default_width="100%",
        config={"displaylogo": False, "responsive": True},
        post_script=_BUTTONS.replace("NAME", json.dumps(name)),
    )
    return page.replace("<head>", f"<head><title>{html.escape(title)}</title>", 1)
