"""How long an action in a page takes."""

from __future__ import annotations

import time
from collections.abc import Callable

from playwright.sync_api import Page


def timed(page: Page, act: Callable[[], object], done: str) -> float:
    """Returns the seconds from an action until some JavaScript is true and the page settled."""
    began = time.perf_counter()
    act()
    page.wait_for_function(
        f"() => ({done}) && document.querySelector('[data-testid=stApp]')"
        ".dataset.testScriptState === 'notRunning'",
        polling=10,
    )
    return time.perf_counter() - began
