"""The story that Home opens with on a new machine, computed once and shipped with the project.

Home shows it before torch is imported. `python -m app.home.shipped_story --write` makes
the file anew: it is out of date when the shipped runs, the small CLIP or the drawings change.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass
from functools import cache

import msgspec

from app.home.story import Told, story_pair
from mocoop.assets import asset, check_if_shipped
from mocoop.runs.run import Run, shipped_runs
from mocoop.storage.atomic import write_text
from mocoop.storage.typed_json import decode

FILE = "story.json"
MIXTURE = "albums-mocoop-16shot"
"""The shipped run that tells it."""


@dataclass(frozen=True)
class ShippedStory:
    """The content of the file."""

    mixture: str
    """Name of the mixture's run."""
    single: str
    """Name of the run of one learned prompt."""
    told: Told


@cache
def shipped_story() -> ShippedStory:
    """Returns the shipped story.

    Raises:
        UserError: if the file is damaged or not what was published.
    """
    check_if_shipped(asset(FILE))
    return decode(asset(FILE).read_bytes(), ShippedStory)


def ready_story(run: Run, single: Run) -> Told | None:
    """Returns the shipped story if it is about these two runs, else None."""
    if not (run.shipped and single.shipped and asset(FILE).is_file()):
        return None
    story = shipped_story()
    return story.told if (run.name, single.name) == (story.mixture, story.single) else None


def computed_story() -> ShippedStory:
    """Returns the story, as the shipped runs tell it now."""
    from app.home.classified import told_about

    run = Run(shipped_runs() / MIXTURE)
    others = (Run(path) for path in sorted(shipped_runs().iterdir()))
    single = story_pair(run, others, Run.setup)
    told = None if single is None else told_about(run, single, 0)
    if single is None or told is None or not told.is_story:
        sys.exit(f"{MIXTURE} tells no story: on no picture is it alone right.")
    return ShippedStory(run.name, single.name, told)


def main() -> None:
    """Writes the file, or says whether it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the file")
    now = msgspec.json.format(msgspec.json.encode(computed_story()), indent=1).decode() + "\n"
    if parser.parse_args().write:
        write_text(asset(FILE), now)
    elif asset(FILE).read_text(encoding="utf-8") != now:
        sys.exit(f"{asset(FILE)} differs: run `python -m app.home.shipped_story --write`.")


if __name__ == "__main__":
    main()
