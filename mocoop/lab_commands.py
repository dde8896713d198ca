"""What the command lab-grid does."""

from __future__ import annotations

from mocoop.options import LabGridCommand


def lab_grid(command: LabGridCommand) -> None:
    """Trains what the lab's grid still lacks and writes it."""
    from tqdm import tqdm

    from mocoop.lab_grid import NUMBERS, Axes, make_grid

    axes = Axes(command.data, command.shots, command.text_weights, command.seeds, command.epochs)
    with tqdm(unit="training") as bar:
        for done, total in make_grid(axes, command.root, command.out, command.workers):
            bar.total = total
            bar.update(done - bar.n)
    size = (command.out / NUMBERS).stat().st_size
    print(f"{command.out}: {bar.n} trainings, {size / 1e6:.1f} MB")
