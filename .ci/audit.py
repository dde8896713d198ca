"""Audits the packages: their licences, and known vulnerabilities of the locked versions.

A licence that is unknown or not permissive fails; so does a known vulnerability. If the database
of vulnerabilities cannot be reached, one sentence says so, and the licences alone decide.
"""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Iterable, Sequence
from email.message import Message
from importlib.metadata import distributions
from typing import Any, Protocol

LOCK = "requirements-dev.lock"
SECONDS = 240
PERMISSIVE = frozenset({
    "0BSD", "Apache-2.0", "BSD", "BSD-2-Clause", "BSD-3-Clause", "BSL-1.0", "CC0-1.0",
    "CNRI-Python", "HPND", "ISC", "MIT", "MIT-CMU", "PSF-2.0", "Python-2.0", "Unlicense", "Zlib",
})  # fmt: skip
WEAK = frozenset({"MPL-2.0"})
"""Copyleft for changes of their own files alone, which we do not make."""
NAMES = {
    "apache software license": "Apache-2.0",
    "apache license 2.0": "Apache-2.0",
    "apache 2.0": "Apache-2.0",
    "bsd license": "BSD",
    "3-clause bsd license": "BSD-3-Clause",
    "bsd 3-clause license": "BSD-3-Clause",
    "isc license": "ISC",
    "isc license (iscl)": "ISC",
    "mit license": "MIT",
    "mozilla public license 2.0 (mpl 2.0)": "MPL-2.0",
    "python software foundation license": "PSF-2.0",
}
"""Names of licences in older metadata → SPDX."""
REVIEWED = {
    r"axe-playwright-python": "MIT, in its file LICENSE; the metadata has none",
    r"docutils": "public domain and BSD; no file under the GPL is installed",
    r"nvidia-.*|cuda-.*": "NVIDIA's terms allow use with PyTorch; TORCH=cpu does without",
}
"""Packages that were looked at by hand: a pattern of names → why they may be used."""


class Package(Protocol):
    """What the audit reads of an installed package."""

    @property
    def metadata(self) -> Message | Any:
        """The package's metadata: Name, License-Expression, License, Classifier."""


def licence_of(package: Package) -> str:
    """Returns a package's licence as an SPDX expression as far as known; else empty."""
    metadata = package.metadata
    if expression := metadata.get("License-Expression"):
        return str(expression)
    first = (metadata.get("License") or "").strip().split("\n")[0].strip()
    if known := _known(first):
        return known
    classifiers = metadata.get_all("Classifier") or []
    names = [c.split(" :: ")[-1] for c in classifiers if c.startswith("License :: ")]
    found = [name for name in names if name not in ("OSI Approved", "DFSG approved")]
    return " AND ".join(_known(name) or f"'{name}'" for name in found)


def _known(name: str) -> str:
    spdx = NAMES.get(name.lower(), name)
    return spdx if spdx and not _refused(spdx) else ""


def _refused(expression: str) -> list[str]:
    """Returns the licences in an expression under which a package may not be used.

    Of `A OR B` one is enough; an exception (`WITH`) only allows more.
    """
    words = re.findall(r"'[^']*'|[()]|[^()\s]+", re.sub(r" WITH \S+", "", expression))
    refused = _refused_of_any(words)
    return [expression] if words else refused  # what is left over is no expression


def _refused_of_any(words: list[str]) -> list[str]:
    """Takes `A OR B …` from the words and returns what is refused of the best of them."""
    refused = _refused_of_all(words)
    while words[:1] == ["OR"]:
        del words[0]
        refused = min(refused, _refused_of_all(words), key=len)
    return refused


def _refused_of_all(words: list[str]) -> list[str]:
    """Takes `A AND B …` from the words and returns what is refused of all of them."""
    refused = _refused_of_one(words)
    while words[:1] == ["AND"]:
        del words[0]
        refused = refused + _refused_of_one(words)
    return refused


def _refused_of_one(words: list[str]) -> list[str]:
    """Takes a licence, or an expression in brackets, from the words."""
    first = words.pop(0) if words else ""
    if first != "(":
        return [] if first in PERMISSIVE | WEAK else [first]
    refused = _refused_of_any(words)
    closed = words.pop(0) if words else ""
    return refused if closed == ")" else [*refused, closed]


def licence_faults(packages: Iterable[Package]) -> list[str]:
    """Returns a line for every package whose licence is unknown or not permissive."""
    faults = []
    for package in packages:
        name = package.metadata["Name"]
        if any(re.fullmatch(pattern, name, re.IGNORECASE) for pattern in REVIEWED):
            continue
        licence = licence_of(package)
        if not licence:
            faults.append(f"{name}: its licence is unknown")
        elif _refused(licence):
            faults.append(f"{name}: {licence} is not a permissive licence")
    return sorted(faults)


def vulnerabilities(command: Sequence[str]) -> tuple[int, str]:
    """Returns the exit code of pip-audit and what to print; 0 if its database does not answer."""
    try:
        found = subprocess.run(
            command, capture_output=True, text=True, timeout=SECONDS, check=False
        )
    except subprocess.TimeoutExpired:
        return 0, _not_asked("it did not answer in time")
    said = f"{found.stdout}{found.stderr}".strip()
    if found.returncode and re.search(r"ConnectionError|ConnectTimeout|ServiceError", said):
        return 0, _not_asked("it cannot be reached")
    return found.returncode, said


def _not_asked(why: str) -> str:
    return f"The database of vulnerabilities was not asked: {why}. Run `make audit` elsewhere."


def main() -> int:
    """Prints both audits and returns the exit code."""
    packages = list(distributions())
    faults = licence_faults(packages)
    for fault in faults:
        print(fault)
    print(f"licences: {len(packages)} packages, {len(faults)} refused")
    if faults:
        print(
            "Replace the package, or look at its licence and add it to REVIEWED in .ci/audit.py."
        )
    command = [sys.executable, "-m", "pip_audit", "-s", "osv", "--disable-pip"]
    code, said = vulnerabilities([*command, "--require-hashes", "-r", LOCK])
    print(said)
    return int(bool(faults) or code != 0)


if __name__ == "__main__":
    sys.exit(main())
