"""The part in which a group of hard prompts is edited, to see what that moves."""

from __future__ import annotations

import streamlit as st
import torch
import torch.nn.functional as F
from torch import Tensor

from app.caches import answers as answer_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.common import access, state
from app.common.theme import expert_colours
from app.common.words import escape_markdown, groups_to_rows
from app.routing import typed_figures, typed_tables
from app.routing import typed_words as words
from app.ui import layout
from app.ui.parts import show_figure
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.datasets import Item
from mocoop.errors import UserError
from mocoop.evaluation.typed_prompt import GroupEffect, group_effect, typed_template
from mocoop.model.router import guide_scores
from mocoop.runs.run import Run, RunSetup, open_run

MORE_LETTERS = 8000  # that can be typed in addition to a group's own sentences


def edit_group(run: Run, choice: str, item: Item) -> None:
    """Shows the sentences of one group, to be edited, and what the edited ones do.

    Args:
        run: any finished run; only a mixture has groups to edit.
        choice: the classes to test and to predict: all, base or new.
        item: the test image whose routing target is shown.
    """
    setup = run_list.setup_of(run)
    if len(setup.experts) == 1:
        return
    part = st.expander(
        words.EDIT_GROUP,
        key=state.TYPED_EDIT,
        icon=":material/edit_note:",
        bind=state.QUERY,
    )
    if not part.open:
        return
    with part:
        classifier = run_caches.classifier(run)
        if setup.config.tunes_images:
            st.info(words.TUNED_TOWER)
            return
        if not isinstance(classifier, MixtureClassifier):
            st.info(words.SHIFTED_PROMPTS)
            return
        st.caption(words.EDIT_CAPTION)
        left, right = layout.wrapping_columns([2, 3], "edit-group")
        with left:
            group = st.selectbox(words.GROUP, setup.experts, key=state.TYPED_GROUP)
            templates = edited_templates(run, setup, group)
        if templates is None:
            return
        with left:
            train_with(setup, group, templates)
        with right:
            show_effect(run, classifier, group, templates, choice, item)


def edited_templates(run: Run, setup: RunSetup, group: str) -> tuple[str, ...] | None:
    """Returns the edited sentences of a group, or None after saying what is wrong with them."""
    own = "\n".join(setup.groups[group])
    text = st.text_area(
        words.ITS_PROMPTS,
        own,
        key=f"{state.TYPED_TEMPLATES} {run.name} {group}",
        height=120,
        max_chars=len(own) + MORE_LETTERS,  # a smaller limit would cut what the run has
    )
    try:
        lines = [typed_template(line) for line in text.splitlines() if line.strip()]
        if not lines:
            typed_template("")
        for line in lines:
            answer_caches.text_features(setup.config.backbone, setup.config.data, line)
    except UserError as error:
        st.warning(escape_markdown(str(error)), icon=":material/edit:")
        return None
    return tuple(lines)


def show_effect(
    run: Run,
    classifier: MixtureClassifier,
    group: str,
    templates: tuple[str, ...],
    choice: str,
    item: Item,
) -> None:
    """Shows prototype, routing target and accuracy, as in the run and with edited sentences."""
    setup = run_list.setup_of(run)
    config, expert = setup.config, setup.experts.index(group)
    images = answer_caches.images_to_test(config.backbone, config.data, choice)
    before = prototypes_of(run)
    text = [answer_caches.text_features(config.backbone, config.data, line) for line in templates]
    after = before.clone()
    after[expert] = F.normalize(torch.stack(text).mean(dim=0), dim=-1)
    kept = list(images.classes)

    def effect_of(prototypes: Tensor) -> GroupEffect:
        return group_effect(
            images.features,
            images.labels,
            prototypes[:, kept],
            expert,
            classifier.gate,
            classifier.logit_scale,
            classifier.num_chosen,
        )

    was, now = effect_of(before), effect_of(after)
    cosine = float((before[expert, kept] * after[expert, kept]).sum(dim=-1).mean())
    st.dataframe(typed_tables.effect_table(was, now, cosine, expert), hide_index=True)
    st.caption(target_in_words(setup, images, before, after, item))
    table = typed_tables.target_table(setup.experts, was, now)
    figure = typed_figures.target_bars(table, expert_colours(setup.experts))
    show_figure(figure, "routing-target", words.TARGET_ALT, table)


def target_in_words(
    setup: RunSetup,
    images: answer_caches.TestImages,
    before: Tensor,
    after: Tensor,
    item: Item,
) -> str:
    """Returns which group the routing target chooses first for a picture, before and after."""
    places = [place for place, other in enumerate(images.items) if other.id == item.id]
    if not places:
        return ""
    feature, label = images.features[places[0]][None], torch.tensor([item.label])
    first, now = (
        setup.experts[int(guide_scores(feature, prototypes, label)[0].argmax())]
        for prototypes in (before, after)
    )
    return words.target_moves(first, now)


def train_with(setup: RunSetup, group: str, templates: tuple[str, ...]) -> None:
    """Shows the button that opens the Train page with the edited group."""
    if access.read_only() or templates == setup.groups[group]:
        return
    if st.button(words.TRAIN_WITH_GROUP, icon=":material/model_training:"):
        data = setup.config.data
        groups = setup.groups | {group: templates}
        st.session_state[f"{state.TEMPLATES_EDITED} {data}"] = groups_to_rows(groups)
        st.session_state[state.DATA_NEXT] = data
        st.switch_page("pages/train.py", query_params={state.METHOD: setup.config.method})


def prototypes_of(run: Run) -> Tensor:
    """Returns the prototypes (experts, classes, dim) of a run's groups; shared, so do not edit."""
    return _prototypes(str(run.path), run_list.stamp_of(run))


@st.cache_resource(show_spinner=False, max_entries=8)
def _prototypes(path: str, stamp: float) -> Tensor:
    return open_run(path).features().prototypes
