"""The names of everything that the pages keep in session state and in the address.

What is in the address is restored by a link; what must survive a restart is on disk.
"""

from typing import Final

ENTERED = "entered"  # the app itself has run, not a page alone
RUN = "run"  # name of the run that is looked at; also in the address
CLASSES = "classes"  # all, base or new; also in the address
PICTURE = "picture"  # "<this> <figure>": PNG or SVG, what a figure's camera saves
QUERY: Final = "query-params"  # the widgets' `bind`, which keeps a value in the address
HOME_RUN = "home run"  # Home's own choice of a run, which it writes into the address as `run`
SAMPLE = "sample"  # number of Home's sample image; in the address


# Data page; also in the address, but for the files and what was found.
DATA_SPLIT, DATA_CLASS, DATA_STYLE, DATA_PAGE = "split", "class_of", "style_of", "pictures"
DATA_VIEW = "look_at"  # the open tab
DATA_LAST = "last data set"  # chosen on Data or Train, and then on the other one too
DATA_NEXT = "next data set"  # to be chosen in the next run, whatever was before
DATA_UPLOAD = "upload of data"  # the uploaded zip
DATA_REPORT = "check of"  # "<name> <data>": what opening every image found
DATA_PROPOSED = "groups for"  # "<name> <data>": the groups that were proposed


# The Train page's form; these are also in the address.
DATA = "data"
METHOD = "method"
SHOTS = "shots"
SEED = "seed"
TRAIN_ON = "train_on"


# These are kept for the session: settings as "<name> <method>", templates as "<name> <data>".
SETTING = "setting"
TEMPLATES_SHOWN = "templates shown"  # the rows that the table started from
TEMPLATES_EDITED = "templates edited"  # the rows as they are now
TEMPLATES_RESETS = "templates resets"  # how often they were reset, part of the table's key


# Routing page, all in the address.
VIEW = "view"  # the open tab
ONLY_EXPERT, ONLY_STYLE, ONLY_CLASS = "expert", "style", "class"  # the gallery's filters
OUTCOME, ORDER, PAGE = "outcome", "order", "page"
IMAGE = "image"  # item that is looked at closely; set by a button, not by a widget
OF_EXPERT = "of_expert"  # whose images are shown
FORCED = "forced"  # expert that decides instead of the router
SOURCE = "source"  # where the picture to try comes from
UPLOADS, CAMERA = "uploads", "camera"  # not in the address: files stay with the session
CHANGED = "changed"  # which of the uploaded pictures is changed
EFFECTS = ("blur", "pixelate", "darken", "grey", "sketch")


# Prompt-space page, all in the address.
MAP_METHOD, MAP_DIMS, MAP_COLOUR = "map", "dims", "colour"
MAP_EPOCH, MAP_CLASSES, MAP_KINDS = "epoch", "names", "kinds"
MAP_EXPERT, MAP_CLASS = "look_expert", "look_class"  # which point's images and words
MAP_POINTS = "points"  # the selection on the map; not in the address


# Compare page, all in the address but the files.
COMPARE_VIEW = "table"  # the open tab
ONLY_DATA, ONLY_METHOD, ONLY_SHOTS = "datasets", "methods", "shot"  # which runs are listed
ONLY_TRAINED, ONLY_STATE = "trained", "states"
PICKED = "runs"  # names of the selected runs; set by the table
IMPORT_FILE, IMPORT_NAME = "import file", "import name"
IMPORTED = "imported"  # name of the run that was imported last, until it was said


# Overfitting lab, in the address unless another word is said.
LAB_TAB = "lab"  # the open tab
LAB_DATA, LAB_SHOTS, LAB_SEED = "set", "per_class", "draw"
LAB_WEIGHT, LAB_LENGTH = "text_weight", "length"
LAB_EPOCH = "until"  # how many epochs are shown
LAB_PLAYING, LAB_TICKED = "lab playing", "lab ticked"  # for the session
LAB_ARRIVED = "lab arrived"  # the epoch at which playing ended, until the page has shown it
LESSON, ANSWER, REVEALED = "lesson", "answer", "revealed"
PREDICTED = "predicted"  # lesson → choice when it was revealed; for the session
