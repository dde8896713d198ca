"""What the first template of each group says about six pictures."""

from __future__ import annotations

import streamlit as st

from app.caches import answers as answer_caches
from app.caches import data as data_caches
from app.common import state
from app.data.tables import PictureFilter, pictures
from app.new_templates import tables, words
from app.ui import chips, layout
from app.ui.item_picture import show_item
from app.ui.parts import show_table
from app.ui.pictures import brighten_switch
from app.ui.words import with_style
from mocoop.config import TrainConfig
from mocoop.datasets import Dataset
from mocoop.datasets.base import Item
from mocoop.features.cache import FeatureCache
from mocoop.templates import Groups

SIX, SIDE = 6, 192


def six_pictures(dataset: Dataset, config: TrainConfig, groups: Groups, typed: str | None) -> None:
    """Shows six pictures, and below each what every group's first template makes of it.

    Args:
        dataset: the data set.
        config: settings that name the data set and the CLIP.
        groups: the groups.
        typed: a typed prompt, whose answer is shown too.
    """
    split = "test" if dataset.items("test") else "train"
    items = pictures(dataset, PictureFilter(split))
    st.caption(words.SIX_CAPTION)
    if not items:
        st.info(words.NO_PICTURES)
        return
    with st.container(horizontal=True, vertical_alignment="center"):
        if st.button(words.OTHERS, icon=":material/shuffle:"):
            st.session_state[state.MADE_SIX] = st.session_state.get(state.MADE_SIX, 0) + 1
        brighten_switch()
    start = SIX * int(st.session_state.get(state.MADE_SIX, 0)) % len(items)
    shown = (items[start:] + items[:start])[:SIX]
    answered = answers(dataset, config, groups, typed, shown)
    with layout.tiles("card", "six"):
        for number, item in enumerate(shown, start=1):
            with st.container(gap=None):
                _picture(dataset, item, number, answered)
    with st.expander(words.OF_SIX):
        show_table(tables.six_table(answered), "six-pictures", height=330)


def answers(
    dataset: Dataset,
    config: TrainConfig,
    groups: Groups,
    typed: str | None,
    items: list[Item],
) -> list[tables.Answered]:
    """Returns what each group's first template, and a typed prompt, say about pictures."""
    backbone = data_caches.backbone(config.backbone)
    features = FeatureCache(backbone).features(dataset, items)[:, 0]
    firsts = {group: some[0] for group, some in groups.items()}
    if typed is not None:
        firsts[words.TYPED] = typed
    found = []
    for group, template in firsts.items():
        text = answer_caches.text_features(config.backbone, config.data, template)
        chances = (backbone.logit_scale * features @ text.T).softmax(dim=1)
        best = chances.max(dim=1)
        for number, item in enumerate(items):
            found.append(
                tables.Answered(
                    group,
                    number + 1,
                    dataset.class_names[item.label],
                    dataset.class_names[int(best.indices[number])],
                    float(best.values[number]),
                    float(chances[number, item.label]),
                )
            )
    return found


def _picture(dataset: Dataset, item: Item, number: int, answered: list[tables.Answered]) -> None:
    class_name = dataset.class_names[item.label]
    show_item(dataset, item, SIDE, with_style(class_name, item.style))
    lines = [
        chips.right_or_wrong(one.group, one.answer, one.probability, one.right)
        for one in answered
        if one.picture == number
    ]
    st.html(chips.quiet(words.picture_number(number, class_name)) + "".join(lines))
