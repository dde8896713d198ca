"""Checks the checksums of the shipped files; `--write` writes those of the files as they are."""

from __future__ import annotations

import argparse
import sys

from mocoop.assets import SUMS, asset, sums_text


def main() -> None:
    """Writes the list, or ends with an error if it is out of date."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write the list")
    file, now = asset(SUMS), sums_text()
    if parser.parse_args().write:
        file.write_text(now, encoding="utf-8")
    elif not file.is_file() or file.read_text(encoding="utf-8") != now:
        sys.exit(f"{file} is out of date: run `python docs/shipped_sums.py --write`.")


if __name__ == "__main__":
    main()
