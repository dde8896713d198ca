"""How long an action in a page takes."""

from __future__ import annotations

from collections.abc import Callable

from playwright.sync_api import Page

# The page itself notes when it gets the click or key, and when it is done: the checks that the
# driver of the browser makes before it clicks are not what a reader waits for.
_NOTE_START = """() => {
    window.began = null;
    const note = () => { window.began ??= performance.now(); };
    for (const kind of ["pointerup", "keydown", "change"])
        window.addEventListener(kind, note, {capture: true, once: true});
}"""
_DONE = """() => ({done}) && window.began !== null
    && document.querySelector('[data-testid=stApp]').dataset.testScriptState === 'notRunning'
    && performance.now() - window.began"""


def timed(page: Page, act: Callable[[], object], done: str) -> float:
    """Returns the seconds from an action until some JavaScript is true and the page settled."""
    page.evaluate(_NOTE_START)
    act()
    spent = page.wait_for_function(_DONE.replace("{done}", done), polling=10)
    return float(spent.json_value()) / 1000
