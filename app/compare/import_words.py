"""The words of the form that imports prompts which another program trained."""

from __future__ import annotations

IMPORT_PROMPTS = "Import prompts trained elsewhere"
CAPTION = (
    "Choose a checkpoint that CoOp's, CoCoOp's or the MoCoOp authors' code wrote, such as "
    "`prompt_learner/model.pth.tar-50`. Nothing in it is run. It becomes a run of its own, tested "
    "on the data set's test images. `mocoop import` does the same."
)
CHECKPOINT, CHOOSE_FILE = "Checkpoint", "Choose a checkpoint first."
DATA_SET, CLIP = "Data set", "CLIP"
CLIP_HELP = (
    "The CLIP that the prompts were trained with: CoOp's own are trained with OpenAI's weights. "
    "You can also type another name, the path of a file of weights, or a checkpoint folder."
)
SHOTS, SEED = "Images per class", "Seed"
NAMING_HELP = "As it was trained; only to name and compare the run."
POSITION = "Class name"
POSITIONS = {
    "end": "after the context",
    "middle": "in its middle",
    "front": "before the context",
}
POSITION_HELP = "Where it stands in CoOp's context (CLASS_TOKEN_POSITION): the file does not say."
GROUPS = "Groups of templates (YAML)"
GROUPS_HELP = (
    "Only for MoCoOp: the groups that it was trained with, one per expert, as for `mocoop import "
    "--templates`. Without a file, those of the data set."
)
IMPORT = "Import and test"
CANCEL = "Cancel"
CANCELLED = "The import was cancelled. Nothing of it is left."
READING = "Reading the checkpoint …"
GOES_ON = "The import goes on if you leave this page. The run is in the table when it is finished."


def progress(done: int, total: int) -> str:
    """Returns how far the test of an import is."""
    return f"Encoding test images: {done:,} of {total:,}" if total else READING


def stopped(message: str) -> str:
    """Returns that an import's process ended by itself."""
    return f"The import has stopped: {message}. Try again."
