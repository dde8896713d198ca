"""The service's own page: how to send a picture, and a form to try it. It needs no network."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

from mocoop.service.gate import Limits

MOST_NAMES = 40

_PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<title>MoCoOp: {name}</title>
<style>
body {{ font: 1rem/1.5 system-ui, sans-serif; max-width: 44rem; margin: 2rem auto; padding: 0 1rem;
  color-scheme: light dark; }}
pre {{ padding: .75rem; border: 1px solid; border-radius: .5rem; overflow: auto; }}
form {{ display: flex; gap: .5rem; flex-wrap: wrap; }}
</style>
<h1>{name}</h1>
<p>This service classifies pictures into {count} classes: {names}.</p>
<h2>Try it</h2>
<form action="predict" method="post" enctype="multipart/form-data">
<label>A picture of at most {megabytes:g} MB:
<input type="file" name="file" accept="image/*" required></label>
<button>Classify</button>
</form>
<h2>From a program</h2>
<pre>curl -F file=@photo.jpg {address}predict</pre>
<p>The answer is JSON: label, probabilities, chosen experts with their weights, the router's
scores, and notes. <a href="openapi.json">openapi.json</a> describes everything;
<a href="docs">the same as a page</a> loads its scripts from the network.
<a href="health">health</a> says whether the service is ready.</p>
</html>
"""


def page(name: str, class_names: Sequence[str], limits: Limits, address: str) -> str:
    """Returns the page as HTML.

    Args:
        name: the name of the run.
        class_names: names of the classes; many are cut.
        limits: what the service takes at once.
        address: the service's address, with a slash at its end.
    """
    shown = ", ".join(class_names[:MOST_NAMES])
    more = len(class_names) - MOST_NAMES
    return _PAGE.format(
        name=escape(name),
        count=len(class_names),
        names=escape(shown) + (f", and {more} more" if more > 0 else ""),
        megabytes=limits.megabytes,
        address=escape(address),
    )
