"""The types of all JSON files of a run's folder: every file is checked when it is read.

status.json is checked as `mocoop.runs.status.Status`, after its format (`mocoop.runs.formats`).
Fields with a default may be missing, because runs of older versions lack them. Fields that a type
does not name are left alone, because newer versions may add some.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal

from msgspec import UNSET, Meta, Struct, UnsetType

from mocoop.runs.expert_steps import ExpertStep
from mocoop.storage.typed_json import Count, Number, Word

Numbers = dict[str, Number]
LIMITS = {"status.json": 2**20, "config.json": 2**25}
LIMIT = 2**26  # bytes of every other file


class ConfigFile(Struct, frozen=True):
    """config.json: the setup of a run."""

    format: Annotated[int, Meta(ge=1)]
    """The format of this file, see `mocoop.runs.formats`."""
    config: dict[str, Any]
    """The settings; `mocoop.presets.settings_of_run` checks them."""
    class_names: Annotated[tuple[Word, ...], Meta(min_length=1)]
    groups: dict[Word, list[Word]]
    trained_classes: Annotated[int, Meta(ge=1, le=2**31)]
    logit_scale: Annotated[float, Meta(gt=0, le=1e4)]
    backbone_fingerprint: Word
    version: Word
    imported: Word = ""
    white: Number | None = None
    expert_steps: tuple[ExpertStep, ...] = ()
    inputs: dict[Word, Word] = {}


class RecordLine(Struct, frozen=True):
    """A line of metrics.jsonl: the measures after an epoch."""

    epoch: Count
    losses: Numbers
    seconds: Number
    train_accuracy: Number | None
    val_accuracy: Number | None
    expert_usage: list[Number] = []
    routing_entropy: Number = 0.0
    learning_rate: Number = 0.0
    zero_shot: Number | None = None


class PairCounts(Struct, frozen=True):
    """On how many images two methods are right."""

    both: Count
    only_first: Count
    only_second: Count
    neither: Count


class RoutingPart(Struct, frozen=True):
    """How certain and how even a router is; every field is missing with one expert."""

    entropy: Number | None = None
    entropy_share: Number | None = None
    load_balance: Number | None = None
    largest_load: Number | None = None
    unused: Count | None = None
    usage: list[Number] | None = None


class RoutingValuePart(Struct, frozen=True):
    """What the router is worth beside other ways to choose the experts."""

    router: Number
    uniform: Number
    random: Number
    best_single: Number
    best_expert: Word
    chosen_on: Word
    oracle: Number
    gain: Number
    gain_error: Number
    per_expert: Numbers


class PartResult(Struct, frozen=True):
    """The results on some classes; runs of earlier versions have fewer of them."""

    accuracy: Number
    num_images: Count
    classes: Word = ""
    calibration_error: Number | UnsetType = UNSET
    per_class: Numbers = {}
    per_style: Numbers = {}
    expert_usage: Numbers = {}
    style_nmi: Number | None = None
    routing: RoutingPart = RoutingPart()
    agreement: dict[str, Number | None] = {}
    macro_f1: Number | None = None
    mean_class_accuracy: Number | None = None
    top5_accuracy: Number | None = None
    confusion: dict[str, dict[str, Count]] = {}
    routing_value: RoutingValuePart | UnsetType = UNSET
    zero_shot: Number | UnsetType = UNSET
    against_zero_shot: PairCounts | UnsetType = UNSET


class TransferFile(PartResult, frozen=True):
    """transfer-NAME.json: the results on the test images of another data set."""

    source: str = ""
    """The name or absolute path of that data set; runs of earlier versions lack it."""
    tested_on: Word = ""
    """The key of its test images, their labels and the class names."""


class ChosenPart(Struct, frozen=True):
    """The numbers of learned tokens that a search chose for the blocks of one tower."""

    tower: Literal["text", "vision"]
    lengths: Annotated[list[Count], Meta(min_length=1)]
    margins: Annotated[list[Number], Meta(min_length=1)]
    shares: list[list[Number]] = []
    alphas: list[list[Number]] = []


class ResultsFile(Struct, frozen=True):
    """results.json: the results on the test split, by choice of classes."""

    all: PartResult | UnsetType = UNSET
    base: PartResult | UnsetType = UNSET
    new: PartResult | UnsetType = UNSET
    harmonic_mean: Number | UnsetType = UNSET
    val_is_test: bool = False
    training_seconds: Number = 0.0
    training_images: Count = 0
    search: list[ChosenPart] = []


class Listed(Struct, frozen=True):
    """A file in an archive's list."""

    bytes: Count
    sha256: Word


class ManifestFile(Struct, frozen=True):
    """archive.json: the run's name and the files of an exported run."""

    name: str
    files: dict[Word, Listed]
    run_format: Annotated[int, Meta(ge=1)]
    """The newest format in the run's folder, see `mocoop.runs.formats`."""
