"""The texts of the Compare page."""

from __future__ import annotations

from collections.abc import Sequence

from app.common.words import BESIDE, NO_CLEAR_DIFFERENCE, duration, escape_markdown, signed
from mocoop.evaluation.paired import PairTest, p_in_words
from mocoop.sweeps.journal import Progress

TITLE = "Compare"
TERMS = ("seed", "zero-shot", "ensemble", "base and new classes", "point")
CAPTION = (
    "All runs on this machine. Means are over the seeds of runs whose other settings are the same."
)
NO_RUN = "There is no run yet. Train one, or import one from another machine."
TRAIN_A_RUN = "Train a run"
RUNS, MEANS, CURVES = "Runs", "Means over seeds", "Curves"  # the tabs, with `BESIDE`

# While something is computed.
READING, AVERAGING = "Reading the runs …", "Averaging over seeds …"

# The table of runs.
DATA, METHOD, SHOTS, TRAINED_ON = "Data", "Method", "Images per class", "Trained on"
STATE = "State"
NO_FILTER = "all"
HARMONIC = "HM is the harmonic mean of base and new: it is high only if both are high."
PERCENT_HELP = {
    "all": "Test accuracy on all classes.",
    "base": "Test accuracy on the base classes; only these can be predicted.",
    "new": "Test accuracy on the new classes, which had no images in training.",
    "HM": "Harmonic mean of base and new: it is high only if both are high.",
    "error": "Expected calibration error (ECE) on the trained classes: the mean gap between "
    "confidence and accuracy. Lower is better, 0 is perfect.",
}
COLUMNS, MORE_COLUMNS = "Columns", "Also show"
PER_CLASS = "per class"
ALL_CLASSES = "accuracy"
OTHER_SETTINGS = "other settings"
OTHER_SETTINGS_HELP = "Settings that differ from the method's preset, or the reason of an error."
LAST_CHANGE = "last change"
LAST_CHANGE_HELP = "When the run was trained, continued or imported."
COLUMN_NAMES = {
    "settings": OTHER_SETTINGS,
    "trained on": "trained on",
    "error": "ECE (calibration)",
    "epochs": "epochs",
    "changed": LAST_CHANGE,
}
TRAINED_CLASSES = {"all": "all classes", "base": "base classes"}

# Means over seeds.
NOTHING_TO_AVERAGE = (
    "There is nothing to average, because none of the listed runs is finished and tested. Remove "
    "filters, or train runs with several seeds."
)
BEYOND_ACCURACY = "Beyond accuracy: F1, top-5, calibration, routing"
NEWER_RUN = "a newer run has the same settings and seed"
NOT_READABLE = "not finished, not tested, damaged, or made by a version with fewer measures"
CSV_SEEDS, CSV_MEANS, LATEX, MARKDOWN = "CSV of every seed", "CSV of means", "LaTeX", "Markdown"
PROTOCOLS = {
    "few-shot": "Few-shot: all classes",
    "base-to-new": "Base to new: half of the classes",
    "domain-generalization": "Domain generalisation: one style",
    "cross-dataset": "Cross-dataset: other data sets",
    "ablation": "Ablation",
}
BETTER = {1: "Higher is better.", -1: "Lower is better.", 0: "Neither high nor low is better."}
ONLY_COMPLETE = "Only lines with runs on every data set are shown."
MEAN_OF_THESE = "mean of these"
DASH = "A dash means that some or all runs are missing."
PUBLISHED = "Published, base to new"

# Curves.
NO_CURVES = "None of the selected runs learned epoch by epoch, so there is no curve to show."
CURVES_ALT = "Accuracy and loss of the selected runs over the epochs"
VALIDATION, TRAINING, LOSS = "Validation images, % right", "Training images, % right", "Loss"

# Export, import and deletion.
SELECT_RUNS = (
    "Select runs with the boxes on the left to compare them, to save a report, to export one run, "
    "or to delete runs."
)
ONLY_FINISHED = "Only a finished run can be exported."
EXPORT = "Export as zip"
EXPORT_HELP = "Settings, metrics, weights and a model card, for another machine."
LOOK = "Look at its predictions"
DELETE = "Delete …"
WILL_BE_DELETED = "This will be deleted for good, with its weights and metrics:"
IMPORT_RUN, IMPORT = "Import a run", "Import"
IMPORT_CAPTION = (
    "Choose a zip that this page or `mocoop pack` wrote. It is checked before anything is saved."
)
RUN_AS_ZIP = "Run as zip"
NAME_HERE, NAME_HINT = "Name here", "as it was exported"
NAME_HELP = "Only needed if a run with the same name exists."
CHOOSE_ZIP = "Choose a zip file first."
BELOW_THE_FILE = "below the file"

# Side by side.
SELECTED_RUNS, SELECT_HERE = "Selected runs", "Choose one run or more"
SELECT_ONE = (
    "Select one run or more: here, or on the tab *Runs* with the boxes on the left of the table. "
    "They are compared image by image, with each other and with zero-shot."
)
WITHOUT_TRAINING = "Without training"
NOTHING_LEFT = "There is nothing to compare with. Select another run, or zero-shot."
TEST_CLASSES = "Test classes"
TEST_CLASSES_HELP = (
    "Only the images of these classes are tested, and only these classes can be predicted."
)
CLASS_CHOICES = {"all": "all classes", "base": "base classes", "new": "new classes"}
ACCURACY_HOVER = (  # Plotly puts the values in
    "%{y}: %{x:.1f} % [%{customdata[0]:.1f}, %{customdata[1]:.1f}], %{customdata[2]} images"
    "<extra></extra>"
)
ACCURACY_ALT = "Accuracy of every method with its interval"
SAME_PREDICTION = "**How often two methods predict the same class**"
ALL_PAIRS = "All pairs"
IMAGES_WON, IMAGES_LOST, DIFFERENCE = "images won", "images lost", "difference, points"
FROM, TO, P_VALUE = "from", "to", "p (McNemar)"
COMPARE, WITH = "Compare", "with"
PAIR_HELP = (
    "p is the two-sided p-value of McNemar's exact test: how likely so uneven wins and losses are "
    "if both methods are equally good. The interval in brackets holds 95 % of the differences "
    "over 10,000 bootstrap resamples of the images."
)
IMAGES_ON_WHICH = "Images on which"
DISAGREE, ANY_DISAGREE = "these two disagree", "not all methods agree"
ALL_RIGHT, ALL_WRONG, EVERY = "all are right", "all are wrong", "any"
TRUE_STYLE, ANY = "True style", "any"
EPOCH = "epoch"
PERCENT_RIGHT = "test images, % right"

# Reports, notebooks and accuracies of the selected runs.
NOTEBOOK = "Notebook"
NOTEBOOK_HELP = (
    "A Jupyter notebook that opens this run, tests it and shows its routing. Put the run's zip in "
    "the same folder. The notebook needs `pip install .` in a checkout of MoCoOp."
)
REPORT = "Report"
REPORT_HELP = (
    "One HTML file with settings, accuracies with intervals, figures, versions and how to cite. "
    "It opens in any browser, without a network, and prints well."
)
ACCURACIES = "**Accuracy of the selected runs**, with 95 % intervals"
ACCURACIES_HELP = (
    "Wilson's interval over the test images, from each run's own test. For differences between "
    "runs on the same images, see the tab Side by side."
)
NO_ACCURACY = "None of the selected runs is finished and tested, so there is no accuracy to show."
OVER_ZERO_SHOT = "over zero-shot, points"
NO_REPORT = "There is no report"
ZERO_SHOT = "zero-shot (no training)"


def only_some(shown: int, count: int) -> str:
    """Returns that only some of the selected runs are shown."""
    return f"Only the first {shown} of {count} selected runs are shown here."


def changed(names: Sequence[str]) -> str:
    """Returns why a report does not compare image by image."""
    return (
        f"Not compared image by image: {', '.join(names)} changed after the comparison. Open it "
        "again for a new one."
    )


def left_out(name: str, why: str) -> str:
    """Returns why a run is left out."""
    return f"{name} is left out: {why}"


def listed(shown: int, total: int) -> str:
    """Returns how many runs pass the filters."""
    return f"{shown} of {total} runs, last changed first."


def runs_left_out(names: Sequence[str], why: str) -> str:
    """Returns which runs are not in the means, and why, as Markdown."""
    few = ", ".join(map(escape_markdown, names[:4])) + (" …" if len(names) > 4 else "")
    return f"{len(names)} run{'s' * (len(names) != 1)} left out ({why}): {few}"


def select_for_curves(most: int) -> str:
    """Returns how to see the curves of runs."""
    return (
        f"Select up to {most} runs: here, or on the tab *{RUNS}* with the boxes left of the "
        "table. Their curves then appear in one figure."
    )


def no_curve(name: str, why: str) -> str:
    """Returns that a run has no curve, and why."""
    return f"`{name}` has no curve: {why}"


def not_by_epoch(method: str) -> str:
    """Returns that a method has no curve because it has no epochs."""
    return f"{method} does not learn epoch by epoch"


ZERO_EPOCHS = "it was trained for 0 epochs"


def no_epoch(state: str) -> str:
    """Returns that a run has no curve because no epoch is recorded."""
    return f"it is {state} and no epoch was recorded"


def chosen_on_test(chosen: str) -> str:
    """Returns that some settings were chosen on test images."""
    return f"{chosen} chosen on test images"


def no_such_run(name: str) -> str:
    """Returns that a selected run does not exist, as Markdown."""
    return f"There is no run {escape_markdown(repr(name))}."


def selected(count: int) -> str:
    """Returns how many runs are selected, and where they are compared."""
    return f"**{count} runs selected.** The tabs *{BESIDE}* and *{CURVES}* compare them."


def ask_to_delete(count: int) -> str:
    """Returns the title of the dialog that asks before runs are deleted."""
    return "Delete this run?" if count == 1 else "Delete these runs?"


def stays(name: str, why: str) -> str:
    """Returns that a run is not deleted, and why."""
    return f"`{name}` stays: {why}."


def delete_runs(count: int) -> str:
    """Returns the label of the button that deletes runs."""
    return f"Delete {count} run{'s' * (count != 1)}"


def deleted(count: int) -> str:
    """Returns the note after runs were deleted."""
    return f"{count} run{'s' * (count != 1)} deleted."


def keep(count: int) -> str:
    """Returns the label of the button that deletes nothing."""
    return "Keep it" if count == 1 else "Keep them"


def imported(name: str) -> str:
    """Returns under which name a run was imported."""
    return f"Imported as `{name}`."


def only_compared(shown: int, count: int) -> str:
    """Returns that only some of the selected runs are compared."""
    return f"Only the first {shown} of {count} selected runs are compared."


def images_left_out(count: int) -> str:
    """Returns how many images are not compared."""
    return f"{count} images are left out, because not all runs were tested on them."


def only_classes(choice: str) -> str:
    """Returns on which classes runs are compared if there is no choice."""
    return f"Test classes: {CLASS_CHOICES[choice]}, the only ones that all runs can predict."


def other_clips(clips: Sequence[str], used: str) -> str:
    """Returns that runs have different CLIPs, and which one the methods without training use."""
    return (
        f"The runs have different CLIPs ({', '.join(clips)}). The methods without training use "
        f"{used}."
    )


def no_run_variant(label: str) -> str:
    """Returns the name of a method without training where a run has the same method."""
    return f"{label} (no run)"


def accuracy_title(images: int) -> str:
    """Returns the title of the accuracies side by side."""
    return f"**Accuracy** on the same {images:,} images, with 95 % intervals"


def wins(method: str) -> str:
    """Returns the choice of the images that only one of two methods gets right."""
    return f"{method} wins"


def images_shown(shown: int, total: int) -> str:
    """Returns how many of the images are shown."""
    return f"{shown:,} of {total:,} images"


def look_with(method: str) -> str:
    """Returns what the button below an image opens."""
    return f"Opens Routing on this image: how {method} answers, and why."


def pair(first: str, second: str, test: PairTest) -> str:
    """Returns who is right where the other is wrong, the difference, p-value and verdict."""
    low, high = test.interval.low, test.interval.high
    text = (
        f"{first} is right on {_images(test.only_first)} on which {second} is wrong. {second} is "
        f"right on {_images(test.only_second)} on which {first} is wrong. The difference is "
        f"{signed(test.difference)} points [{signed(low)}, {signed(high)}], "
        f"{p_in_words(test.p_value)}"
    )
    if not test.clear:
        return f"{text}: {NO_CLEAR_DIFFERENCE} on {_images(test.images)}."
    better = first if test.difference > 0 else second
    return f"{text}: {better} is better."


def _images(count: int) -> str:
    return "1 image" if count == 1 else f"{count:,} images"


def sweep_line(progress: Progress, running: bool) -> str:
    """Returns how far a sweep is, and which candidate is the best so far.

    Args:
        progress: from the sweep's journal.
        running: whether a command trains its runs now.
    """
    best = f"{progress.best} ({progress.accuracy:.1f} % on validation images)"
    if progress.finished:
        return f"Sweep {progress.name}: {progress.candidates} candidates, chosen: {best}."
    done = f"{progress.done:,} of {progress.total:,} epochs"
    left = f"{progress.left} of {progress.candidates} candidates left"
    parts = [f"Sweep {progress.name}: {done}, {left}"]
    if progress.best:
        parts.append(f"best so far: {best}")
    if not running:
        parts.append("it is not running; the same command continues it")
    elif progress.seconds_left is not None:
        parts.append(f"{duration(progress.seconds_left)} left")
    return "; ".join(parts) + "."
