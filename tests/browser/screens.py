"""Takes the pictures of every page, light and dark: `python -m tests.browser.screens [FOLDER]`.

It shows the run that ships with the project and one short training beside it, in folders of its
own. Pictures go to assets/screens unless another folder is named.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from playwright.sync_api import sync_playwright

import mocoop
from tests.browser.conftest import ARGUMENTS, ROOT
from tests.browser.measure import RUN, server
from tests.browser.steps import DRAWN, heading, settled

PAGES = {  # address → title, height of the picture in pixels
    "home": ("MoCoOp", 800),
    "data": ("Data", 1000),
    "train": ("Train", 1000),
    "routing": ("Routing", 1000),
    "prompt_space": ("Prompt space", 1500),
    "overfitting_lab": ("Overfitting lab", 1000),
    "federated": ("Federated", 1500),
    "compare": ("Compare", 800),
}


def main() -> None:
    """Writes a PNG for every page and both themes."""
    out = Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "assets" / "screens"
    out.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as name, server(Path(name)) as (address, _, _):
        folder = Path(name) / "runs"
        for method in ("coop", "mocoop"):
            config = mocoop.preset(method, data="details", shots=4)
            mocoop.train(config, folder / f"details-{method}-4shot-seed1-001")
        with sync_playwright() as driver:
            browser = driver.chromium.launch(executable_path="/usr/bin/chromium", args=ARGUMENTS)
            for theme in ("light", "dark"):
                page = browser.new_page(color_scheme=theme)
                page.set_default_timeout(120_000)
                for path, (title, height) in PAGES.items():
                    page.set_viewport_size({"width": 1280, "height": height})
                    page.goto(f"{address}/{'' if path == 'home' else path}?run={RUN}")
                    heading(page, title)
                    page.wait_for_load_state("networkidle")
                    page.wait_for_function(DRAWN)
                    settled(page)
                    page.screenshot(path=out / f"{path.replace('_', '-')}-{theme}.png")
            browser.close()


if __name__ == "__main__":
    main()
