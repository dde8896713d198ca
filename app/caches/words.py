"""What the pages say while something is computed or loaded for the first time."""

from __future__ import annotations

LOADING_CLIP = "Loading CLIP …"
LOADING_TUNED_CLIP = "Loading the tuned CLIP …"
OPENING_RUN = "Opening the run …"
OPENING_DATA = "Opening the data set …"
LOOKING_FOR_DATA = "Looking for data sets …"
ENCODING_TRAINING = "Encoding the training images …"
ENCODING_TEST = "Encoding the test images …"
CLASSIFYING_TEST = "Classifying the test images …"


def no_test_images(name: str, choice: str = "all") -> str:
    """Returns that a data set has no test images, and how to get some.

    Args:
        name: of the data set.
        choice: "all", "base" or "new" classes.
    """
    of_classes = "" if choice == "all" else f" of the {choice} classes"
    return (
        f"{name} has no test images{of_classes}, so there is nothing to show here. Add images to "
        "every class, or a part test/, and train again."
    )
