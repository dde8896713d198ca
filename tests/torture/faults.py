"""Faults that are no kills: full disks, folders that cannot be written, clocks that jump.

Each is a function that returns what was found; None means that it cannot be tried here.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from mocoop.assets import asset
from mocoop.runs.run import damaged_runs, list_runs
from tests.torture.world import World, environment, leftovers

ROOT = Path(__file__).resolve().parents[2]
SHIPPED = asset("runs") / "albums-mocoop-16shot"
PATIENCE = 180
NO_DISK = 77  # exit code of a script that may not mount a disk
TRAIN = "train --data details --shots 1 --epochs 3 --quiet --run"
CAUSED_WORDS = ("No space left", "is full", "Read-only file system", "cannot be used")
WRITES = {
    "training": f"{TRAIN} $1/run",
    "pack": f"pack {SHIPPED} --out $1/run.zip",
    "export": f"export {SHIPPED} --out $1/classifier",
    "import": "unpack $2/run.zip --root $1/runs",
    "report": f"report {SHIPPED} --out $1/report.html",
    "protocol": "protocol few-shot --data details --methods coop --shots 1 --seeds 1 --epochs 1"
    " --root $1/protocol",
    "features": "evaluate albums-mocoop-16shot",
}
"""Every kind of write of the command line; $1 is the disk, $2 another folder."""
# A disk of its own for this script alone, which goes with it.
FULL = """
mount -t tmpfs -o size=1m tmpfs "$1" || exit 77
{room}
{python} -m mocoop {command}
code=$?
cp -r "$1" "$2/left"
exit $code
"""
ROOMS = {"no room at all": 'cat /dev/zero > "$1/filler" 2> /dev/null',
         "some room": 'head -c 990000 /dev/zero > "$1/filler"',
         "read-only": 'mount -o remount,ro "$1"'}  # fmt: skip
# The time of day at the machine's start, by which psutil tells when a process began, is moved.
CLOCK = """
sed "s/^btime .*/btime $(( $(awk '/^btime/ {{print $2}}' /proc/stat) - 3600 ))/" \\
    /proc/stat > "$1/stat"
mount --bind "$1/stat" /proc/stat || exit 77
{python} -m mocoop runs
"""


def isolated(script: str, *arguments: Path) -> subprocess.CompletedProcess[str]:
    """Runs a shell script that may mount disks, which nobody else sees."""
    own = ["unshare", "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    return subprocess.run(
        [*own, "sh", "-c", script, "sh", *map(str, arguments)],
        cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE, check=False,
    )  # fmt: skip


def full_disk(root: Path, kind: str, room: str) -> list[str] | None:
    """Lets a command write to a disk that is full, nearly full, or read-only."""
    world = World.new(root / f"disk-{kind}-{room}".replace(" ", "-"))
    disk = world.root / "disk"
    disk.mkdir()
    if kind == "import":
        from mocoop.runs.export_zip import write_archive
        from mocoop.runs.run import Run

        write_archive(Run(SHIPPED), world.root / "run.zip")
    cache = disk / "cache" if kind == "features" else root / "cache"
    script = FULL.format(room=ROOMS[room], python=sys.executable, command=WRITES[kind])
    with environment(world.variables(cache)):
        done = isolated(script, disk, world.root)
    if done.returncode == NO_DISK or (done.returncode == 1 and "unshare" in done.stderr):
        return None
    found = []
    if "Traceback" in done.stdout + done.stderr:
        found.append(f"traceback: {done.stderr.strip().splitlines()[-1][:200]}")
    elif done.returncode != 0 and not any(words in done.stderr for words in CAUSED_WORDS):
        found.append(f"not told why: {done.stderr.strip()[-200:]}")
    left = world.root / "left"
    (left / "filler").unlink(missing_ok=True)
    found += leftovers(left)
    found += [f"damaged: {why}" for why in damaged_runs([left, left / "runs"]).values()]
    found += [f"looks finished: {run.name}" for run in list_runs([left])
              if run.status().state == "finished" and done.returncode != 0]  # fmt: skip
    return found


def clock_back(root: Path) -> list[str] | None:
    """Looks at a training after the clock was set back by an hour: it still trains."""
    world = World.new(root / "clock")
    command = [sys.executable, "-m", "mocoop", *TRAIN.split(), str(world.runs / "run")]
    command[command.index("--epochs") + 1] = "5000"
    with environment(world.variables(root / "cache")):
        training = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL)
        try:
            _wait(lambda: (world.runs / "run" / "metrics.jsonl").exists())
            done = isolated(CLOCK.format(python=sys.executable), world.root)
        finally:
            training.kill()
            training.wait()
    if done.returncode == NO_DISK or "unshare" in done.stderr:
        return None
    return [] if "running" in done.stdout else [f"a training seems to have ended: {done.stdout}"]


def deleted_runs(root: Path) -> list[str]:
    """Deletes the folder of runs under a training: it says so, and leaves nothing."""
    world = World.new(root / "deleted")
    command = [sys.executable, "-m", "mocoop", *TRAIN.split(), str(world.runs / "run")]
    command[command.index("--epochs") + 1] = "5000"
    with environment(world.variables(root / "cache")):
        training = subprocess.Popen(command, cwd=ROOT, stderr=subprocess.PIPE, text=True)
        try:
            _wait(lambda: (world.runs / "run" / "metrics.jsonl").exists())
            shutil.rmtree(world.runs, ignore_errors=True)
            _, told = training.communicate(timeout=PATIENCE)
        finally:
            training.kill()
    found = [] if "was deleted while the run was trained" in told else [f"it said: {told[-200:]}"]
    if world.runs.exists() and any(world.runs.iterdir()):
        found.append("something is left of a deleted run")
    return found


def _wait(done: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE
    while not done():
        if time.monotonic() > end:
            raise RuntimeError("the training did not begin")
        time.sleep(0.1)


def faults(root: Path) -> dict[str, list[str] | None]:
    """Returns what was found by every fault; None for one that cannot be tried here."""
    tried: dict[str, list[str] | None] = {}

    def tell(name: str, found: list[str] | None) -> None:
        tried[name] = found
        told = "cannot be tried here" if found is None else "; ".join(found) or "nothing found"
        print(f"{name}: {told}", flush=True)

    for kind in WRITES:
        for room in ROOMS:
            tell(f"{kind}, disk: {room}", full_disk(root, kind, room))
    tell("a clock that is set back by an hour", clock_back(root))
    tell("the folder of runs deleted under a training", deleted_runs(root))
    return tried
