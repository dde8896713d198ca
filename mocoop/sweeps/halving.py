"""Runs a sweep: trains candidates rung by rung, chooses one, and tests it.

Successive halving waits for all trainings of a rung before it leaves any out. The asynchronous
form (ASHA, arXiv 1810.05934) keeps more workers busy, but what it chooses depends on which
training happens to end first, so that a sweep that was stopped could not go on to the same end.
"""

from __future__ import annotations

import statistics
from collections.abc import Generator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.features.image_keys import digest
from mocoop.protocols.reuse import Expectations
from mocoop.protocols.runner import run_name
from mocoop.runs.run import Run
from mocoop.storage.engines import Engine, needed_folders, shared_folder
from mocoop.sweeps.journal import Journal
from mocoop.sweeps.plan import Candidate, Sweep, check_data
from mocoop.sweeps.training import Reached, finish, reach

Key = tuple[str, int, int]
"""Data set, shots and seed."""


@dataclass(frozen=True)
class Scored:
    """A candidate and how well it did where it was last compared."""

    candidate: Candidate
    epoch: int
    """The rung's epochs."""
    accuracies: Mapping[Key, float]
    """On validation images, in percent; empty if a training diverged."""
    why: str = ""
    """Why it has none."""

    @property
    def mean(self) -> float:
        """The mean over data sets, shots and seeds; below all others if a training diverged."""
        return statistics.fmean(self.accuracies.values()) if self.accuracies else -1.0


@dataclass(frozen=True)
class Outcome:
    """What a sweep found."""

    scored: tuple[Scored, ...]
    """All candidates where they were last compared: the chosen one, then by rung and mean."""
    tests: Mapping[Key, Run]
    """The finished runs of the chosen candidate, the only ones that were tested."""

    @property
    def chosen(self) -> Scored:
        """The candidate with the best validation accuracy of those that trained to the end."""
        return self.scored[0]


def run_sweep(
    sweep: Sweep, folder: Path, engine: Engine
) -> Generator[tuple[int, int], None, Outcome]:
    """Yields the epochs done so far and in total, and returns what the sweep found.

    Called again after any stop, it goes on where it was, with the same result: what the journal
    has is not trained again, and runs go on from their snapshots.

    Args:
        sweep: the sweep.
        folder: its folder; with a cluster, all nodes have to reach it.
        engine: where the runs train.

    Raises:
        UserError: for data that cannot be used, a folder of another sweep, or, after the others
            of the same rung are done, for runs that could not be trained.
    """
    check_data(sweep)
    journal = Journal(shared_folder(folder))
    with journal.alone(), engine.open():
        journal.begin(sweep, total_epochs(sweep), _made_from(sweep))
        alive = list(sweep.candidates())
        out: list[Scored] = []
        for epoch in sweep.rungs():
            results = yield from _rung(sweep, alive, epoch, journal, engine)
            ranked = sorted(
                (_scored(sweep, candidate, epoch, results) for candidate in alive),
                key=lambda scored: -scored.mean,  # stable: of equal ones, the first in the file
            )
            if not ranked[0].accuracies:
                raise UserError(f"All trainings diverged. {ranked[0].why}")
            last = epoch == sweep.rungs()[-1]
            number = 1 if last else sweep.kept(len(alive))
            kept = [scored for scored in ranked[:number] if scored.accuracies]
            means = {scored.candidate.words: scored.mean for scored in ranked}
            journal.add_decision(epoch, means, [scored.candidate.words for scored in kept])
            out = ranked[len(kept) :] + out
            going_on = [scored.candidate for scored in kept]  # equal words may round two numbers
            alive = [candidate for candidate in alive if candidate in going_on]
        tests = _tested(sweep, alive[0], journal, engine)
    return Outcome((*kept, *out), tests)


def total_epochs(sweep: Sweep) -> int:
    """Returns the epochs of all trainings together."""
    number, before, total = len(sweep.candidates()), 0, 0
    runs = len(sweep.data) * len(sweep.shots) * len(sweep.seeds)
    rungs = sweep.rungs()
    for epoch in rungs:
        total += number * runs * (epoch - before)
        before = epoch
        number = number if epoch == rungs[-1] else sweep.kept(number)
    return total


def _made_from(sweep: Sweep) -> str:
    """Returns a key of the CLIP, the data and the templates of all trainings."""
    known, first = Expectations(), {c.method: c for c in reversed(sweep.candidates())}
    return digest(known.of(c).key for one in first.values() for c in sweep.configs(one).values())


def _rung(
    sweep: Sweep, alive: Sequence[Candidate], epoch: int, journal: Journal, engine: Engine
) -> Generator[tuple[int, int], None, dict[str, Reached]]:
    """Trains all candidates up to an epoch; returns name of a run → what it reached."""
    known, total = journal.reached(), total_epochs(sweep)
    configs = {run_name(c): c for one in alive for c in sweep.configs(one).values()}
    results = {name: known[name, epoch] for name in configs if (name, epoch) in known}
    waiting = [name for name in configs if name not in results]
    before = max((rung for rung in sweep.rungs() if rung < epoch), default=0)
    done = journal.progress().done
    yield done, total
    jobs = [(configs[name], journal.runs / name, epoch) for name in waiting]
    folders = needed_folders(journal.folder, configs.values())
    failed: dict[str, str] = {}
    for index, reached in engine.map(reach, jobs, waiting, folders):
        name = waiting[index]
        if reached.error:
            failed[name] = reached.error
            continue
        results[name] = reached
        epochs = min(epoch, configs[name].epochs) - min(before, configs[name].epochs)
        journal.add_run(name, epochs, epoch, reached)
        done += epochs
        yield done, total
    if failed:
        reasons = "".join(f"\n  {name}: {why}" for name, why in failed.items())
        raise UserError(
            f"{len(failed)} of {len(jobs)} trainings failed; the others are kept. Mend the cause, "
            f"then run the same command again.{reasons}"
        )
    return results


def _scored(
    sweep: Sweep, candidate: Candidate, epoch: int, results: Mapping[str, Reached]
) -> Scored:
    """Returns a candidate with its accuracies after an epoch."""
    runs = {key: results[run_name(c)] for key, c in sweep.configs(candidate).items()}
    why = next((reached.diverged for reached in runs.values() if reached.diverged), "")
    accuracies = {key: r.accuracy for key, r in runs.items() if r.accuracy is not None}
    return Scored(candidate, epoch, {} if why else accuracies, why)


def _tested(
    sweep: Sweep, candidate: Candidate, journal: Journal, engine: Engine
) -> dict[Key, Run]:
    """Tests the chosen candidate's runs and returns them."""
    configs: dict[Key, TrainConfig] = sweep.configs(candidate)
    names = {key: run_name(config) for key, config in configs.items()}
    jobs = [(config, journal.runs / names[key]) for key, config in configs.items()]
    for _ in engine.map(finish, jobs, list(names.values())):
        pass
    journal.add_chosen(candidate.words, list(names.values()))
    return {key: Run(journal.runs / name) for key, name in names.items()}
