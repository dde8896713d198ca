"""The Train page's less usual settings: only those that mean something to the method."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app.common import state
from app.train.settings import with_backbone
from mocoop.clip.backbone import DEMO
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.method_record import ONE_PROMPT
from mocoop.methods import METHODS

LEAST_ONE = ("batch_size", "num_chosen", "views", "context_tokens")
CONTEXTS = {"template": "plain prompt", "words": "other words", "random": "random tokens"}
POSITIONS = {"end": "at the end", "middle": "in the middle"}
TEXT_CLASSES = {"seen": "trained classes", "all": "all classes"}
TEXT_SCALES = {"logit": "CLIP's own", "one": "1 (authors')"}
TEXT_TARGETS = {"prototype": "mean of a group", "templates": "every template"}
GATE_TARGETS = {"hard": "hard, +10", "scaled": "hard, scaled", "soft": "soft, +10"}
PRECISIONS = {
    "auto": "auto: what is fast here",
    "fp32": "fp32 (exact)",
    "bf16": "bf16",
    "fp16": "fp16",
}


def more_settings(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Returns the settings with the less usual ones as chosen, each method keeping its own.

    Raises:
        UserError: for values that do not fit; all widgets are there by then.
    """
    with st.expander("More settings"):
        config = with_backbone(config, _clip())
        method = METHODS[config.method]
        form = Form(config)
        if method.needs_images and dataset.styles:
            form.chosen["style"] = _style(config.data, dataset)
        if method.learns_in_epochs:
            _training(form)
        if method.family == ONE_PROMPT:
            _context(form)
        if method.is_mixture:
            _router(form)
        if config.text_weight > 0 or config.anchor_weight > 0:
            _text_loss(form)
    return replace(config, **form.chosen)


class Form:
    """Widgets in two columns, which collect what was chosen.

    Args:
        config: the method's preset, whose values are the defaults.
    """

    def __init__(self, config: TrainConfig) -> None:
        self.config = config
        self.chosen: dict[str, Any] = {}
        self._places: list[Any] = []

    def section(self, title: str) -> None:
        """Begins a new pair of columns under a title."""
        st.markdown(f"**{title}**")
        self._places = list(st.columns(2))

    def now(self, name: str) -> Any:
        """Returns a setting as chosen so far."""
        return self.chosen.get(name, getattr(self.config, name))

    def number(self, name: str, label: str, step: float, **options: Any) -> None:
        """Asks for a number of the same type as the preset's."""
        usual = getattr(self.config, name)
        kind = type(usual)
        self.chosen[name] = self._place().number_input(
            label,
            min_value=kind(name in LEAST_ONE),
            value=usual,
            step=kind(step),
            **self._kept(name),
            **options,
        )

    def choice(self, name: str, label: str, words: Mapping[str, str], **options: Any) -> None:
        """Asks for one of a setting's values, each in words."""
        values = list(words)
        self.chosen[name] = self._place().selectbox(
            label,
            values,
            index=values.index(getattr(self.config, name)),
            format_func=words.__getitem__,
            **self._kept(name),
            **options,
        )

    def text(self, name: str, label: str, **options: Any) -> None:
        """Asks for a text; an empty one is the preset's."""
        usual = getattr(self.config, name)
        given = self._place().text_input(label, usual, **self._kept(name), **options)
        self.chosen[name] = given.strip() or usual

    def toggle(
        self, name: str, label: str, values: tuple[Any, Any] = (False, True), **options: Any
    ) -> None:
        """Asks whether the second of two values is to be taken, over the whole width."""
        on = getattr(self.config, name) == values[1]
        self.chosen[name] = values[st.toggle(label, on, **self._kept(name), **options)]

    def _place(self) -> Any:
        """Returns the next column; left and right take turns."""
        self._places = [*self._places[1:], self._places[0]]
        return self._places[-1]

    def _kept(self, name: str) -> dict[str, Any]:
        # The published recipes have other defaults than the demo CLIP's.
        recipe = DEMO if self.config.backbone == DEMO else "published"
        key = f"{state.SETTING} {name} {self.config.method} {recipe}"
        return {"key": key, "persist_state": "session"}


def _clip() -> str:
    given = st.text_input(
        "CLIP",
        DEMO,
        key=f"{state.SETTING} backbone",
        persist_state="session",
        help="`demo` is built in. Or an open_clip NAME/TAG such as "
        "`ViT-B-16-quickgelu/openai` (fetched once), or a checkpoint folder. Another CLIP than "
        "the demo starts from the published settings.",
    )
    return given.strip() or DEMO


def _style(data: str, dataset: Dataset) -> str:
    chosen = st.selectbox(
        "Train on images of",
        dataset.styles,
        index=None,
        placeholder="every style",
        key=f"{state.SETTING} style {data}",
        persist_state="session",
        help="One true style alone: the test then shows how far the method carries over to the "
        "styles it never saw (domain generalisation).",
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
            help="1 is the picture itself; more add random crops and mirror images.",
        )  # fmt: skip
    if config.tune_layer_norms:
        form.number(
            "layer_norm_rate", "LayerNorm rate", 0.01, format="%.3f",
            help="Learning rate of the LayerNorms as a multiple of the prompts'.",
        )  # fmt: skip
    form.choice(
        "precision", "Precision", PRECISIONS,
        help="Number format inside CLIP's towers. fp16 pays on a GPU, bf16 on a GPU and on "
        "processors with AMX; `auto` takes bf16 there and fp32 elsewhere.",
    )  # fmt: skip
    if config.tune_layer_norms:
        form.toggle(
            "augment", "Random crops", ("none", "crops"),
            help="Draws a crop and a mirror image of every picture anew in every epoch.",
        )  # fmt: skip


def _context(form: Form) -> None:
    form.section("Prompt")
    form.choice("context_init", "Starts from", CONTEXTS)
    start = form.now("context_init")
    if start == "words":
        form.text("context_words", "Words", help="They stand left of the class name.")
    if start == "random":
        form.number("context_tokens", "Tokens", 1, help="CoOp's M: how many are learnt.")
    if start != "template":
        form.choice("name_position", "Class name", POSITIONS)
    if not form.config.conditional:
        form.toggle(
            "class_context", "A prompt of its own for every class",
            help="CoOp's CSC. It needs pictures of every class: train on all classes.",
        )  # fmt: skip


def _router(form: Form) -> None:
    form.section("Router")
    form.number(
        "num_chosen", "Experts per image", 1,
        help="K: how many experts the router picks for each image.",
    )  # fmt: skip
    form.number(
        "gate_rate", "Router's rate", 1.0,
        help="Learning rate of the router as a multiple of the prompts'.",
    )  # fmt: skip
    form.number(
        "gate_weight", "Gating loss weight", 0.5,
        help="Teaches the router which templates suit an image.",
    )  # fmt: skip
    form.choice(
        "gate_target", "Router learns from", GATE_TARGETS,
        help="The hard prompts with 10 added to the K best (the paper), the hard prompts by "
        "CLIP's own scale, or the soft prompts with 10 added.",
    )  # fmt: skip


def _text_loss(form: Form) -> None:
    form.section("Staying close to the hard prompts")
    if form.config.anchor_weight > 0:
        form.number(
            "anchor_weight", "Anchor weight", 1.0,
            help="KgCoOp's λ: how strongly the prompt is pulled back. 0 is CoOp.",
        )  # fmt: skip
    if form.config.text_weight > 0:
        form.number(
            "text_weight", "Text loss weight", 0.5,
            help="How strongly each prompt has to tell the classes apart by hard prompts.",
        )  # fmt: skip
        form.choice(
            "text_classes", "Names in text loss", TEXT_CLASSES,
            help="Matters when only half of the classes are trained.",
        )  # fmt: skip
        form.choice(
            "text_scale", "Text loss scale", TEXT_SCALES,
            help="The loss's inverse temperature. The authors' 1 asks little of the prompts.",
        )  # fmt: skip
        form.choice("text_target", "Compared with", TEXT_TARGETS)
