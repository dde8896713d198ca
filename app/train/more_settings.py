"""The less common settings on the Train page; only those that the method uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app.train.clip_picker import pick_clip
from app.train.overfit import default_of
from app.train.settings import setting_key, with_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.method_record import IMAGE_CACHE, ONE_PROMPT, Method
from mocoop.methods import METHODS

LEAST_ONE = ("batch_size", "num_chosen", "views", "context_tokens")  # settings of at least 1
CONTEXTS = {"template": "plain prompt", "words": "other words", "random": "random tokens"}
POSITIONS = {"end": "at the end", "middle": "in the middle", "front": "in front"}
TEXT_CLASSES = {"seen": "trained classes", "all": "all classes"}
TEXT_SCALES = {"logit": "CLIP's own", "one": "1 (as the authors)"}
TEXT_TEMPLATES = {"own": "the data set's", "fixed": "LASP's 35"}
TEXT_SOFTMAX = {"hard": "over hard prompts", "soft": "over soft prompts (LASP's code)"}
TEXT_TARGETS = {"prototype": "mean of a group", "templates": "every template"}
GATE_TARGETS = {"hard": "hard, +10", "scaled": "hard, scaled", "soft": "soft, +10"}
SEARCHES = {"own": "our own", "published": "as published"}
PRECISIONS = {
    "auto": "auto: the fastest here",
    "fp32": "fp32 (exact)",
    "bf16": "bf16",
    "fp16": "fp16",
}


def more_settings(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Returns the settings with the chosen CLIP and less common ones; each method keeps its own.

    Raises:
        UserError: for values that do not fit together; it is raised after all widgets are shown.
    """
    config = with_backbone(config, pick_clip())
    with st.expander("More settings"):
        method = METHODS[config.method]
        form = Form(config)
        if method.needs_images and dataset.styles:
            form.chosen["style"] = _style(config.data, dataset)
        if method.learns_in_epochs:
            _training(form)
        if method.fits_image_features:
            _fitting(form, method)
        if method.family == ONE_PROMPT:
            _context(form)
        if method.is_mixture:
            _router(form)
        if config.text_weight > 0 or config.anchor_weight > 0:
            _text_loss(form)
        if config.align_gradient:
            _alignment(form)
    return replace(config, **form.chosen)


class Form:
    """Widgets in two columns; `chosen` collects their values.

    Args:
        config: the method's preset; its values are the defaults.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.chosen: dict[str, Any] = {}
        self._columns: list[Any] = []

    def section(self, title: str) -> None:
        """Starts a new pair of columns under a title."""
        st.markdown(f"**{title}**")
        self._columns = list(st.columns(2))

    def now(self, name: str) -> Any:
        """Returns the current value of a setting."""
        return self.chosen.get(name, getattr(self.config, name))

    def number(self, name: str, label: str, step: float, **options: Any) -> None:
        """Asks for a number of the same type as the default."""
        default = getattr(self.config, name)
        kind = type(default)
        self.chosen[name] = self._next_column().number_input(
            label,
            min_value=kind(name in LEAST_ONE),
            step=kind(step),
            **self._memory(name),
            **default_of(setting_key(name, self.config), value=default),
            **options,
        )

    def choice(self, name: str, label: str, words: Mapping[str, str], **options: Any) -> None:
        """Asks for one of a setting's values; `words` maps each value to its text."""
        values = list(words)
        self.chosen[name] = self._next_column().selectbox(
            label,
            values,
            format_func=words.__getitem__,
            **self._memory(name),
            **default_of(
                setting_key(name, self.config), index=values.index(getattr(self.config, name))
            ),
            **options,
        )

    def text(self, name: str, label: str, **options: Any) -> None:
        """Asks for a text; an empty text means the default."""
        default = getattr(self.config, name)
        given = self._next_column().text_input(
            label,
            **self._memory(name),
            **default_of(setting_key(name, self.config), value=default),
            **options,
        )
        self.chosen[name] = given.strip() or default

    def toggle(
        self, name: str, label: str, values: tuple[Any, Any] = (False, True), **options: Any
    ) -> None:
        """Shows a switch between two values over the whole width; "on" is the second value."""
        on = getattr(self.config, name) == values[1]
        start = default_of(setting_key(name, self.config), value=on)
        self.chosen[name] = values[st.toggle(label, **self._memory(name), **start, **options)]

    def _next_column(self) -> Any:
        """Returns the next column; left and right alternate."""
        self._columns = [*self._columns[1:], self._columns[0]]
        return self._columns[-1]

    def _memory(self, name: str) -> dict[str, Any]:
        return {"key": setting_key(name, self.config), "persist_state": "session"}


def _style(data: str, dataset: Dataset) -> str:
    chosen = st.selectbox(
        "Train on images of",
        dataset.styles,
        index=None,
        placeholder="every style",
        key=setting_key(f"style {data}"),
        persist_state="session",
        help="Training images of one style only. The test then shows how well the method works "
        "on styles it has never seen (domain generalisation).",
    )
    return chosen or ""


def _training(form: Form) -> None:
    config = form.config
    form.section("Training")
    form.number("epochs", "Epochs", 1)
    form.number("learning_rate", "Learning rate", 0.001, format="%.4f")
    form.number("batch_size", "Images per step", 8)
    if not METHODS[config.method].learns_prompts:
        return
    if config.image_cache:
        form.number(
            "views", "Views per image", 1,
            help="1 is the image itself. More views add random crops and mirrored images.",
        )  # fmt: skip
    if config.tune_layer_norms:
        form.number(
            "layer_norm_rate", "LayerNorm rate", 0.01, format="%.3f",
            help="Learning rate of the LayerNorms, as a multiple of the prompts' rate.",
        )  # fmt: skip
    form.choice(
        "precision", "Precision", PRECISIONS,
        help="Number format inside CLIP's encoders. fp16 is faster on a GPU; bf16 is faster on a "
        "GPU and on processors with AMX. `auto` uses bf16 there and fp32 elsewhere.",
    )  # fmt: skip
    if config.tune_layer_norms:
        form.toggle(
            "augment", "Random crops", ("none", "crops"),
            help="Crops and mirrors every image at random, anew in every epoch.",
        )  # fmt: skip


def _fitting(form: Form, method: Method) -> None:
    form.section("Fitting")
    form.choice(
        "search", "Values tried", SEARCHES,
        help=f"The values of {method.chooses} that are compared on validation images: our own, "
        "or those of the authors' code.",
    )  # fmt: skip
    if method.classifier == IMAGE_CACHE:
        form.number(
            "key_views", "Crops per stored image", 1,
            help="Random crops whose mean stands for an image; 0 is the image itself.",
        )  # fmt: skip


def _context(form: Form) -> None:
    form.section("Prompt")
    form.choice("context_init", "Starts from", CONTEXTS)
    start = form.now("context_init")
    if start == "words":
        form.text("context_words", "Words", help="The words before the class name.")
    if start == "random":
        form.number("context_tokens", "Tokens", 1, help="CoOp's M: the number of learned tokens.")
    if start != "template":
        form.choice("name_position", "Class name", POSITIONS)
    if not form.config.conditional:
        form.toggle(
            "class_context", "A separate prompt for every class",
            help="CoOp's CSC. It needs images of every class, so train on all classes.",
        )  # fmt: skip


def _router(form: Form) -> None:
    form.section("Router")
    form.number(
        "num_chosen", "Experts per image", 1,
        help="K: how many experts the router picks for each image.",
    )  # fmt: skip
    form.number(
        "gate_rate", "Router's rate", 1.0,
        help="Learning rate of the router, as a multiple of the prompts' rate.",
    )  # fmt: skip
    form.number(
        "gate_weight", "Gating loss weight", 0.5,
        help="Weight of the loss that teaches the router which templates suit an image.",
    )  # fmt: skip
    form.choice(
        "gate_target", "Router learns from", GATE_TARGETS,
        help="The scores that the router imitates: those of the hard prompts with 10 added to the "
        "K best (as in the paper), those of the hard prompts times CLIP's own scale, or those "
        "of the soft prompts with 10 added to the K best.",
    )  # fmt: skip


def _alignment(form: Form) -> None:
    form.section("Staying close to the plain prompt")
    form.number(
        "align_weight", "λ", 0.1,
        help="The share that is removed of the part of the gradient that contradicts the plain "
        "prompt. With 0 this is CoOp.",
    )  # fmt: skip
    form.number(
        "align_temperature", "Temperature", 0.1,
        help="Temperature of the predictions whose difference gives the plain prompt's direction.",
    )  # fmt: skip


def _text_loss(form: Form) -> None:
    form.section("Staying close to the hard prompts")
    if form.config.anchor_weight > 0:
        form.number(
            "anchor_weight", "Anchor weight", 1.0,
            help="KgCoOp's λ: how strongly the prompt is kept close to the hard prompt. With 0 "
            "this is CoOp.",
        )  # fmt: skip
    if form.config.text_weight > 0:
        form.number(
            "text_weight", "Text loss weight", 0.5,
            help="Weight of the loss that asks each soft prompt to be most similar to the hard "
            "prompts of its own class.",
        )  # fmt: skip
        form.choice(
            "text_classes", "Names in text loss", TEXT_CLASSES,
            help="Only matters if you train on half of the classes.",
        )  # fmt: skip
        form.choice(
            "text_scale", "Text loss scale", TEXT_SCALES,
            help="Inverse temperature of the loss. With 1, as in the authors' code, the loss "
            "constrains the prompts only weakly.",
        )  # fmt: skip
        form.choice("text_target", "Compared with", TEXT_TARGETS)
        if form.config.text_templates == "fixed":
            form.choice("text_templates", "Templates", TEXT_TEMPLATES)
        form.choice(
            "text_softmax", "Softmax", TEXT_SOFTMAX,
            help="Each soft prompt chooses among the hard prompts of all classes, or each hard "
            "prompt among the soft ones.",
        )  # fmt: skip
        form.number(
            "text_noise", "Noise", 0.01, format="%.3f",
            help="Standard deviation of noise on the hard prompts' features, in half of the "
            "steps. LASP's code has 0.05.",
        )  # fmt: skip
