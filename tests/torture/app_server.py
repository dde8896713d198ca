"""Victims that need a browser: the server of the app, and a tab, while a training runs."""

from __future__ import annotations

import random
import re
import time
from contextlib import suppress
from pathlib import Path

import psutil

from mocoop.runs.run import list_runs
from mocoop.runs.status import FINISHED
from tests.torture.runs import state_of
from tests.torture.victim import Attempt, Victim
from tests.torture.world import World, environment, leftovers, store_problems

CHROMIUM = "/usr/bin/chromium"
PATIENCE = 240.0  # seconds for a page on a busy machine, and for a training of its own


class AppServer(Victim):
    """The server of the app, with a training that somebody started on a page.

    The training goes on without the server; a new server shows it.
    """

    name = "server of the app"

    def __init__(self, root: Path, cache: Path) -> None:
        from playwright.sync_api import sync_playwright

        from tests.browser.conftest import ARGUMENTS

        super().__init__(root, cache)
        self.driver = sync_playwright().start()
        self.browser = self.driver.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)

    def close(self) -> None:
        self.browser.close()
        self.driver.stop()

    def work(self, world: World) -> object:
        raise NotImplementedError("the browser does it")

    def where(self, world: World) -> str:
        runs = sorted(path for path in world.runs.iterdir() if path.is_dir())
        return f"training: {state_of(runs[0])}" if runs else "before the run"

    def differences(self, world: World, reference: World) -> list[str]:
        return []

    def measure(self) -> None:
        """Takes as the time of the work what a training takes at most, with its start."""
        self.seconds = 12.0

    def attempt(self, dice: random.Random, number: int) -> Attempt:
        from tests.browser.measure import server

        world = self._world(f"attempt-{number}")
        with environment(world.variables(world.cache) | {"MOCOOP_STANDBY": "1"}):
            with server(world.root) as (address, process, _):
                page = self._page(f"{address}/train?data=details&shots=1&seed={number}")
                page.get_by_role("button", name="Start training").click()
                time.sleep(dice.uniform(0, self.seconds))
                where = self.where(world)
                children = process.children(recursive=True)
                self.kill(process)
                problems = self._after(page, address, number)
                page.context.close()
            problems += self._ended(children)
            problems += store_problems(world.runs) + self._unfinished(world)
            with server(world.root) as (address, _, _):
                page = self._page(f"{address}/train")
                if list_runs([world.runs]):
                    page.get_by_text("Test accuracy", exact=True).first.wait_for()
                page.context.close()
            problems += leftovers(world.runs, world.cache)
        return Attempt(where, tuple(dict.fromkeys(problems)))

    def kill(self, server: psutil.Process) -> None:
        """Kills the victim."""
        server.kill()

    def _after(self, page, address: str, number: int) -> list[str]:
        """Returns what is wrong while the victim is dead."""
        return []

    def _page(self, address: str):
        context = self.browser.new_context(viewport={"width": 1280, "height": 800})
        page = context.new_page()
        page.set_default_timeout(1000 * PATIENCE)
        page.goto(address)
        page.get_by_role("heading", level=1, name="Train").wait_for()
        return page

    def _unfinished(self, world: World) -> list[str]:
        return [f"{run.name} is {run.status().state}" for run in list_runs([world.runs])
                if run.status().state != FINISHED]  # fmt: skip

    def _ended(self, children: list[psutil.Process]) -> list[str]:
        """Returns the server's processes that neither ended nor finished what they do."""
        _, left = psutil.wait_procs(children, timeout=PATIENCE)
        found = []
        for process in left:
            with suppress(psutil.Error):
                found.append(f"an orphan process remains: {' '.join(process.cmdline())[-100:]}")
                process.kill()
        return found


class BrowserTab(AppServer):
    """A tab of the browser: its process dies, and another tab shows the training."""

    name = "browser tab"

    def kill(self, server: psutil.Process) -> None:
        mine = psutil.Process().children(recursive=True)
        for process in mine:
            with suppress(psutil.Error):
                if "--type=renderer" in process.cmdline():
                    process.kill()

    def _after(self, page, address: str, number: int) -> list[str]:
        other = self._page(f"{address}/train")
        result = other.get_by_text(re.compile("Test accuracy|Epoch|Starting|encoding")).first
        result.wait_for()
        other.get_by_text("Test accuracy", exact=True).first.wait_for()
        found = other.get_by_test_id("stException").count()
        other.context.close()
        return ["a new tab shows a traceback"] if found else []
