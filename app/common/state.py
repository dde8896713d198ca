"""The keys of everything that the pages keep in session state and in the page's address.

A link restores what is in the address. What must survive a restart is on disk.
"""

from typing import Final

ENTERED = "entered"  # set when the whole app has started, not only a single page
RUN = "run"  # name of the run that is shown; also in the address
CLASSES = "classes"  # all, base or new; also in the address
PICTURE = "picture"  # "<this> <figure>": PNG or SVG, the format that a figure's camera saves
QUERY: Final = "query-params"  # value of a widget's `bind` that keeps its value in the address
HOME_RUN = "home run"  # Home's choice of a run; Home writes it into the address as `run`
KEPT_RUN = "kept run"  # the last run that was chosen by hand or by a link; for the session
RUN_OF_PAGE = "run of the page"  # the run that a page chose by itself and wrote into the address
BRIGHTEN = "brighten"  # whether dark pictures are shown brighter; kept for the session
NOTES = "notes"  # what the next run of the app says in a corner of the page
SAMPLE = "sample"  # number of Home's sample image; in the address


# Data page; these are also in the address, except uploaded files, reports and proposals.
DATA_SPLIT, DATA_CLASS, DATA_STYLE, DATA_PAGE = "split", "class_of", "style_of", "pictures"
DATA_VIEW = "look_at"  # the open tab
DATA_LAST = "last data set"  # the last choice on Data or Train, which both pages share
DATA_NEXT = "next data set"  # the data set to select when the page runs next
DATA_UPLOAD = "upload of data"  # the uploaded zip
DATA_PANEL = "panel of the upload"  # whether it is open
DATA_TAKEN = "the upload was taken"  # closes the panel when the page runs next
DATA_REPORT = "check of"  # "<name> <data>": the report of the check of all images
DATA_PROPOSED = "groups for"  # "<name> <data>": the proposed groups of templates


# New templates on the Data page. Only the key of the request is in the address.
MADE = "made"  # the request whose templates are shown; for the session as "<name> <data>"
MADE_WRITER, MADE_ABOUT, MADE_LINES = "who writes", "about the data", "lines of templates"
MADE_MODEL, MADE_URL, MADE_SEED = "chat model", "chat address", "seed of templates"
MADE_CLIP = "clip of templates"
MADE_SHOW = "which candidates"
MADE_HISTORY = "groups of"  # "<name> <key>": the groups after each change, the newest last
MADE_CHANGES = "changes of"  # "<name> <key>": number of changes, part of the keys of widgets
MADE_MAP = "map-of-templates"  # the selection on the map
MADE_ROWS = "rows of templates"  # the selection in the table
MADE_SIX = "six pictures"  # how many times others were asked for


# The form of the Train page; these are also in the address.
DATA = "data"
METHOD = "method"
SHOTS = "shots"
SEED = "seed"
TRAIN_ON = "train_on"
START = "from"  # the sentence that the prompt of a method with one prompt starts from


# Kept for the session: settings as "<name> <setting> <method>", templates as "<name> <data>".
SETTING = "setting"
WATCHED = "watched training"  # name of the run whose progress stood below the start button
FILLED = "filled in"  # keys that a button has just filled in, until the form has shown them
TEMPLATES_SHOWN = "templates shown"  # the rows that the table started with
TEMPLATES_EDITED = "templates edited"  # the rows as they are now
TEMPLATES_RESETS = "templates resets"  # number of resets, part of the table's key


# Routing page, all in the address.
VIEW = "view"  # the open tab
ONLY_EXPERT, ONLY_STYLE, ONLY_CLASS = "expert", "style", "class"  # the gallery's filters
OUTCOME, ORDER, PAGE = "outcome", "order", "page"
IMAGE = "image"  # item in the "Look closer" dialog; set by a button, not by a widget
CLOSED_IMAGE = "closed image"  # the one whose dialog was left for the tab that changes it
OF_EXPERT = "of_expert"  # the expert whose images are shown
FORCED = "forced"  # the expert that predicts instead of the mixture
SOURCE = "source"  # where the picture to try comes from
# Where the image tower looks, and what covering a picture changes: open parts and settings.
LOOKS, LOOKS_BY, LOOKS_AT, LOOKS_WHO = "looks", "looks_by", "looks_at", "looks_who"
LOOKS_FOR = "looks_for"  # the expert whose last blocks are followed
COVERS, COVERS_SIZE, COVERS_SHOW = "covers", "covers_size", "covers_show"
COVERS_FIRST, COVERS_SECOND = "covers_first", "covers_second"
UPLOADS, CAMERA = "uploads", "camera"  # not in the address: files stay in the session
GROUND = "ground"  # behind transparent parts of uploads
CHANGED = "changed"  # which of the uploaded pictures the sliders change
CHANGED_OF = "changed of"  # their names; the newest is chosen when there are others
EFFECTS = ("blur", "pixelate", "darken", "grey", "sketch")
TYPED = "prompt"  # the typed prompt, on Prompt space too
TYPED_EDIT = "edit"  # whether the part is open in which a group is edited
TYPED_PICTURE = "typed picture"  # index of the image that it is tried on; kept for the session
TYPED_GROUP, TYPED_TEMPLATES = "group to edit", "sentences of"  # "<name> <run> <group>"
MANY_UPLOADS, MANY_LABELS = "many uploads", "many labels"  # not in the address, like the next
MANY_OUTCOME = "many outcome"  # what the run said about them, until pictures or run change
BESIDE = "beside"  # methods and runs whose answers stand beside the run's; set by a callback


# Prompt-space page, all in the address.
MAP_METHOD, MAP_DIMS, MAP_COLOUR = "map", "dims", "colour"
MAP_EPOCH, MAP_CLASSES, MAP_KINDS = "epoch", "names", "kinds"
MAP_CLASSES_OF = "names of the map"  # the classes to choose from; kept for the session only
MAP_FOUND = "found"  # the class or group that is marked on the map
MAP_EXPERT, MAP_CLASS = "look_expert", "look_class"  # the point whose images and words are shown
MAP_POINTS = "points"  # the selection on the map; not in the address


# Compare page, all in the address except the files.
COMPARE_VIEW = "table"  # the open tab
ONLY_DATA, ONLY_METHOD, ONLY_SHOTS = "datasets", "methods", "shot"  # which runs are listed
ONLY_TRAINED, ONLY_STATE = "trained", "states"
MORE_COLUMNS = "columns"  # the columns of the table that can be left out
PICKED = "runs"  # names of the selected runs; set by the table
PICKED_HERE = "runs picked here"  # the same selection as a box; not in the address
BESIDE_UNTRAINED = "without_training"  # methods without a run that are compared too
# The classes (followed by the first choice), the pair and the images of the tab "Side by side".
BESIDE_CLASSES, BESIDE_FIRST, BESIDE_SECOND = "beside_classes", "beside_first", "beside_second"
BESIDE_SHOW, BESIDE_STYLE, BESIDE_PAGE = "beside_show", "beside_style", "beside_page"
IMPORT_FILE, IMPORT_NAME = "import file", "import name"
PROMPTS_FILE, PROMPTS_DATA, PROMPTS_CLIP = "prompts file", "prompts data", "prompts clip"
PROMPTS_POSITION, PROMPTS_GROUPS = "prompts position", "prompts groups"
IMPORT_JOB = "import under way"  # the key of the import that the session waits for
IMPORT_NOTES = "import notes"  # what a checkpoint left open, until the page has shown it
IMPORTED = "imported"  # name of the run that was just imported, until the page has shown it


# Overfitting lab, in the address unless the comment says otherwise.
LAB_TAB = "lab"  # the open tab
LAB_DATA, LAB_SHOTS, LAB_SEED = "set", "per_class", "draw"
LAB_WEIGHT, LAB_RATE, LAB_LENGTH = "text_weight", "rate", "length"
LAB_EPOCH = "until"  # how many epochs are shown
# Kept for the session only: whether the animation plays, the epoch it shows, when it last moved,
# and the slider that shows it.
LAB_PLAYING, LAB_SHOWN, LAB_TICKED = "lab playing", "lab shown", "lab ticked"
LAB_SLIDER = "lab slider"
LESSON = "lesson"
# Kept for the session only, so that a link tells no answer: the choice that is marked in a lesson,
# its radio buttons, the lessons whose answer is shown, first predictions, number of further tries.
CHOSEN, ANSWER, REVEALED = "chosen", "answer", "revealed"
PREDICTED, TRIES = "predicted", "tries"


# Federated page, in the address except the form.
FEDERATION = "federation"  # name of the federation that is shown
FEDERATED_BY, FEDERATED_PART, FEDERATED_CLIENT = "by", "part", "client"
FEDERATED_FORM = "new federation"  # "<name> <setting>"
# Kept for the session only: what the page shows, and how often it chose that by itself.
FEDERATION_SHOWN, FEDERATION_CHANGES = "federation shown", "changes of the federation"
