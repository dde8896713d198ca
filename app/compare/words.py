"""The texts of the Compare page's reports, notebooks and accuracies of selected runs."""

from __future__ import annotations

from collections.abc import Sequence

NOTEBOOK = "Notebook"
NOTEBOOK_HELP = (
    "A Jupyter notebook that opens this run, tests it and shows its routing. Put the run's zip "
    "beside it; it needs `pip install .` in a checkout of MoCoOp."
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
NO_ACCURACY = "None of the selected runs is finished, so there is no accuracy to show."
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
