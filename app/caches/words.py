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
