"""The tab in which a typed prompt is tried on a picture and on all test images."""

from __future__ import annotations

import random

import streamlit as st
from torch import Tensor

from app.caches import answers as answer_caches
from app.caches import data as data_caches
from app.caches import run_list
from app.caches.pictures import plain_feature
from app.common import state
from app.common.theme import METHOD_COLOURS, TRAIN
from app.common.words import escape_markdown
from app.routing import typed_figures, typed_tables
from app.routing import typed_words as words
from app.routing.group_view import edit_group
from app.ui import chips, layout
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure
from app.ui.pictures import brighten_switch, show_picture
from app.ui.prompt_box import examples, learn_from_here, prompt_box
from app.ui.words import test_image
from mocoop.config import TrainConfig
from mocoop.evaluation.evaluate import RoutedItems
from mocoop.evaluation.paired import pair_test
from mocoop.evaluation.typed_prompt import part_scores
from mocoop.runs.run import Run

EXAMPLES = 4
TOP = 4  # classes per prompt
IMAGE_WIDTH = 180  # pixels


@st.fragment
@errors_in_words()
def type_a_prompt(run: Run, tested: RoutedItems, index: int, choice: str) -> None:
    """Shows a box for a prompt, its scores on a picture and on the test images.

    Args:
        run: the run whose CLIP and data set are used.
        tested: the test images of these classes.
        index: the one to start with.
        choice: the classes to test and to predict: all, base or new.
    """
    config = run_list.setup_of(run).config
    index = st.session_state.get(state.TYPED_PICTURE, index) % len(tested.items)
    templates = data_caches.dataset(config.data).templates
    template = prompt_box(config)
    first = list(dict.fromkeys(group[0] for group in templates.groups.values()))
    if template is None:
        st.caption(words.TYPE_SOMETHING)
    examples(first[:EXAMPLES])
    if template is not None:
        left, right = layout.wrapping_columns([2, 3], "typed")
        with left:
            on_the_picture(config, template, tested, index, choice)
            learn_from_here(config, template)
        with right:
            on_test_images(config, template, choice)
    edit_group(run, choice, tested.items[index])


def on_the_picture(
    config: TrainConfig, template: str, tested: RoutedItems, index: int, choice: str
) -> None:
    """Shows what the typed prompt and the zero-shot prompt say about a test image."""
    item, data = tested.items[index], data_caches.dataset(config.data)
    truth, picture = data.class_names[item.label], data.image(item)
    brighten_switch()
    together = st.container(horizontal=True, gap="medium")  # columns would be stacked in here
    with together, st.container(width=IMAGE_WIDTH, gap="small"):
        show_picture(
            data_caches.as_png(picture, 240),
            width="stretch",
            alt=test_image(truth, item.style),
        )
        st.caption(words.typed_truth(truth, item.style))
        st.button(
            words.ANOTHER_PICTURE,
            icon=":material/shuffle:",
            on_click=another_picture,
            args=(len(tested.items),),
        )
    feature = plain_feature(config.backbone, config.precision, picture)[None]
    with together, st.container(width="stretch"):
        for title, text, colour in (
            (words.YOUR_PROMPT, template, TRAIN),
            (words.ZERO_SHOT, data.templates.zero_shot, METHOD_COLOURS["zero-shot"]),
        ):
            scores = _scores(config, text, feature, truth, choice, colour)
            st.html(chips.small_title(title, text, colour) + scores)


def another_picture(count: int) -> None:
    """Chooses one of the test images at random."""
    st.session_state[state.TYPED_PICTURE] = random.randrange(count)


def on_test_images(config: TrainConfig, template: str, choice: str) -> None:
    """Shows the accuracy of the typed prompt beside zero-shot, by style and by role."""
    mine = tested_with(config, template, choice)
    plain = tested_with(config, data_caches.dataset(config.data).templates.zero_shot, choice)
    table = typed_tables.parts_table(part_scores(mine), part_scores(plain))
    mine_right, plain_right = (
        (one.routed.probabilities.argmax(dim=-1) == one.labels).numpy() for one in (mine, plain)
    )
    whole = table.iloc[0]
    together = st.container(horizontal=True, gap="medium", vertical_alignment="center")
    with together:
        st.metric(words.ON_TEST_IMAGES, f"{whole[typed_tables.TYPED]:.1f} %", width="content")
    with together, st.container(width="stretch", gap="xsmall"):
        verdict = words.against_zero_shot(pair_test(mine_right, plain_right))
        st.markdown(escape_markdown(verdict), help=words.AGAINST_HELP)
        st.caption(escape_markdown(typed_tables.best_and_worst(table)))
    figure = typed_figures.part_bars(table)
    show_figure(figure, "typed-prompt", words.PARTS_ALT, table)


def tested_with(config: TrainConfig, template: str, choice: str) -> RoutedItems:
    """Returns the test images of a run's data set with the predictions of a template."""
    images = answer_caches.images_to_test(config.backbone, config.data, choice)
    classifier = answer_caches.typed(config.backbone, config.data, template)
    return answer_caches.classified(classifier, images)


def _scores(
    config: TrainConfig, template: str, feature: Tensor, truth: str, choice: str, colour: str
) -> str:
    """Returns what a template says about a picture, as HTML."""
    classes = answer_caches.images_to_test(config.backbone, config.data, choice).classes
    classifier = answer_caches.typed(config.backbone, config.data, template).subset(classes)
    probabilities = classifier.classify(feature).probabilities[0]
    top = probabilities.topk(min(TOP, len(probabilities)))
    best = [
        (classifier.class_names[index], probability)
        for index, probability in zip(top.indices.tolist(), top.values.tolist(), strict=True)
    ]
    return chips.verdict(*best[0], truth) + chips.class_bars(best, truth, colour)
