"""The less common settings on the Train page; only those that the method uses."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import streamlit as st

from app.train import setting_words as words
from app.train.clip_picker import pick_clip
from app.train.overfit import default_of
from app.train.settings import setting_key, with_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.method_record import ONE_PROMPT, Method
from mocoop.methods import METHODS

# Settings of at least 1.
LEAST_ONE = (
    "batch_size",
    "num_chosen",
    "views",
    "context_tokens",
    "learned_tokens",
    "lora_rank",
    "steps_per_shot",
    "text_depth",
)


def more_settings(config: TrainConfig, dataset: Dataset) -> TrainConfig:
    """Returns the settings with the chosen CLIP and less common ones; each method keeps its own.

    Raises:
        UserError: for values that do not fit together; it is raised after all widgets are shown.
    """
    config = with_backbone(config, pick_clip())
    with st.expander(words.MORE):
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
        if config.compares_images or config.compares_texts:
            _consistency(form)
        if config.aggregation != "none":
            _aggregation(form)
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

    def number(self, name: str, step: float, **options: Any) -> None:
        """Asks for a number of the same type as the default."""
        default = getattr(self.config, name)
        kind = type(default)
        self.chosen[name] = self._next_column().number_input(
            words.LABELS[name],
            min_value=kind(name in LEAST_ONE),
            step=kind(step),
            **default_of(setting_key(name, self.config), value=default),
            **(self._memory(name) | options),
        )

    def choice(self, name: str, texts: Mapping[str, str], **options: Any) -> None:
        """Asks for one of a setting's values; `texts` maps each value to its text."""
        values = list(texts)
        self.chosen[name] = self._next_column().selectbox(
            words.LABELS[name],
            values,
            format_func=texts.__getitem__,
            **default_of(
                setting_key(name, self.config), index=values.index(getattr(self.config, name))
            ),
            **(self._memory(name) | options),
        )

    def text(self, name: str, **options: Any) -> None:
        """Asks for a text; an empty text means the default."""
        default = getattr(self.config, name)
        given = self._next_column().text_input(
            words.LABELS[name],
            **self._memory(name),
            **default_of(setting_key(name, self.config), value=default),
            **options,
        )
        self.chosen[name] = given.strip() or default

    def toggle(self, name: str, values: tuple[Any, Any] = (False, True), **options: Any) -> None:
        """Shows a switch between two values over the whole width; "on" is the second value."""
        on = getattr(self.config, name) == values[1]
        start = default_of(setting_key(name, self.config), value=on)
        self.chosen[name] = values[
            st.toggle(words.LABELS[name], **self._memory(name), **start, **options)
        ]

    def _next_column(self) -> Any:
        """Returns the next column; left and right alternate."""
        self._columns = [*self._columns[1:], self._columns[0]]
        return self._columns[-1]

    def _memory(self, name: str) -> dict[str, Any]:
        return {
            "key": setting_key(name, self.config),
            "persist_state": "session",
            "help": words.HELP.get(name),
        }


def _style(data: str, dataset: Dataset) -> str:
    chosen = st.selectbox(
        words.STYLE,
        dataset.styles,
        index=None,
        placeholder=words.EVERY_STYLE,
        key=setting_key(f"style {data}"),
        persist_state="session",
        help=words.STYLE_HELP,
    )
    return chosen or ""


def _training(form: Form) -> None:
    config = form.config
    form.section(words.TRAINING)
    form.number("epochs", 1)
    form.number("learning_rate", 0.001, format="%.4f")
    form.number("batch_size", 8)
    if not METHODS[config.method].learns_prompts:
        return
    if config.image_cache:
        form.number("views", 1)
    if config.tune_layer_norms:
        form.number("layer_norm_rate", 0.01, format="%.3f")
    if config.vision_depth:
        form.number("vision_depth", 1)
        if config.coupling:  # the image tower has as many tokens as are computed
            form.number("learned_tokens", 1, help=words.COUPLED_TOKENS)
            form.chosen["vision_prompts"] = form.chosen["learned_tokens"]
        else:
            form.number("vision_prompts", 1)
        form.number("vision_rate", 0.01, format="%.3f")
        if config.router_input == "frozen" and not config.compares_images:
            form.number("expert_vision_depth", 1)
    if config.text_depth > 1 or (config.conditional and METHODS[config.method].is_mixture):
        form.number("text_depth", 1)
    if config.text_keys:
        form.number("text_prompts", 1)
    if config.searches_lengths:
        form.number("length_epochs", 1)
        form.number("length_rate", 0.005, format="%.4f")
        form.number("length_batch", 4)
        form.choice("length_images", words.LENGTH_IMAGES)
    if config.lora_rank:
        form.number("lora_rank", 1)
        form.number("lora_alpha", 0.5)
        form.number("lora_dropout", 0.05)
    if config.steps_per_shot:
        form.number("steps_per_shot", 50)
    form.choice("precision", words.PRECISIONS)
    if config.tunes_images:
        form.toggle("augment", ("none", "crops"))


def _fitting(form: Form, method: Method) -> None:
    form.section(words.FITTING)
    if "search" in method.fitted_with:
        form.choice("search", words.SEARCHES, help=words.values_of(method.chooses))
    if "residual_ratio" in method.fitted_with:
        form.number("residual_ratio", 0.1)
    for name in ("views", "key_views"):
        if name in method.fitted_with:
            form.number(name, 1)


def _context(form: Form) -> None:
    form.section(words.PROMPT)
    form.choice("context_init", words.CONTEXTS)
    start = form.now("context_init")
    if start == "words":
        form.text("context_words")
    if start == "random":
        form.number("context_tokens", 1)
    if start != "template":
        form.choice("name_position", words.POSITIONS)
    if not form.config.conditional:
        form.toggle("class_context")


def _router(form: Form) -> None:
    form.section(words.ROUTER)
    form.number("num_chosen", 1)
    form.choice("num_experts", words.NUMBERS_OF_EXPERTS)
    form.number("gate_rate", 1.0)
    form.number("gate_weight", 0.5)
    form.choice("gate_target", words.GATE_TARGETS)
    if form.config.conditional:
        form.number("condition_from", 1)
        form.toggle("shift_per_expert")


def _alignment(form: Form) -> None:
    form.section(words.CLOSE_TO_PLAIN)
    form.number("align_weight", 0.1)
    form.number("align_temperature", 0.1)


def _consistency(form: Form) -> None:
    form.section(words.CLOSE_TO_FROZEN)
    for name in ("text_consistency", "image_consistency", "logit_consistency"):
        if getattr(form.config, name) > 0:
            form.number(name, 1.0)
    form.choice("consistency_templates", words.CONSISTENCY_TEMPLATES)
    form.choice("consistency_mean", words.CONSISTENCY_MEANS)


def _aggregation(form: Form) -> None:
    form.section(words.AGGREGATION)
    form.number("aggregation_mean", 1.0)
    form.number("aggregation_std", 0.5)


def _text_loss(form: Form) -> None:
    form.section(words.CLOSE_TO_HARD)
    if form.config.anchor_weight > 0:
        form.number("anchor_weight", 1.0)
    if form.config.text_weight > 0:
        form.number("text_weight", 0.5)
        form.choice("text_classes", words.TEXT_CLASSES)
        form.choice("text_scale", words.TEXT_SCALES)
        form.choice("text_target", words.TEXT_TARGETS)
        if form.config.text_templates == "fixed":
            form.choice("text_templates", words.TEXT_TEMPLATES)
        form.choice("text_softmax", words.TEXT_SOFTMAX)
        form.number("text_noise", 0.01, format="%.3f")
