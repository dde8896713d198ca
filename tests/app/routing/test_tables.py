"""Tables of the Routing and Prompt space pages, counted by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from app.common import galleries
from app.common.galleries import GalleryFilter
from app.prompt_space import tables as space_tables
from app.routing import tables, words
from mocoop.analysis.drift import Drift, NearWord
from mocoop.evaluation.routing_value import RoutingValue
from tests.support.routed_example import CLASSES, EXPERTS, GROUPS, routed_items


@pytest.fixture
def found():
    return routed_items()


@pytest.fixture
def gallery(found):
    return galleries.gallery_table(found)


def test_gallery_has_a_row_per_image(gallery, found):
    assert gallery["image"].tolist() == ["a", "b", "c", "d"]
    assert gallery["predicted"].tolist() == ["cat", "dog", "dog", "cat"]
    assert gallery["right"].tolist() == [True, False, True, False]
    assert gallery["probability"].tolist() == pytest.approx([0.9, 0.6, 0.8, 0.7])
    assert gallery["expert"].tolist() == ["photo", "sketch", "dark", "photo"]
    for row in range(4):
        pairs = list(zip(gallery["experts"][row], gallery["weights"][row], strict=True))
        assert pairs == found.routed.chosen(row)


@pytest.mark.parametrize(
    ("wanted", "images"),
    [
        (GalleryFilter(order="as in the data"), "abcd"),
        (GalleryFilter(order="most certain"), "acdb"),
        (GalleryFilter(order="most ambiguous"), "dbca"),
        (GalleryFilter(order="wrong first"), "dbac"),
        (GalleryFilter(expert="dark", order="as in the data"), "bc"),
        (GalleryFilter(style="sketch", order="as in the data"), "bc"),
        (GalleryFilter(class_name="dog", order="as in the data"), "cd"),
        (GalleryFilter(outcome="wrong", order="as in the data"), "bd"),
        (GalleryFilter(style="photo", outcome="right", order="as in the data"), "a"),
        (GalleryFilter(expert="dark", style="photo"), ""),
    ],
)
def test_filters_and_orders(gallery, wanted, images):
    assert "".join(galleries.select_images(gallery, wanted)["image"]) == images


def test_the_shuffled_order_is_always_the_same(gallery, found):
    again = galleries.gallery_table(found)
    orders = [
        galleries.select_images(one, GalleryFilter())["image"].tolist() for one in (gallery, again)
    ]
    assert orders[0] == orders[1]
    assert sorted(orders[0]) == ["a", "b", "c", "d"]


def test_a_file_has_one_value_per_cell(gallery):
    flat = galleries.gallery_csv(gallery)
    assert flat["expert 1"].tolist() == ["photo", "sketch", "dark", "photo"]
    assert flat["expert 2"].tolist() == ["sketch", "dark", "sketch", "sketch"]
    assert (flat["weight 1"] + flat["weight 2"]).tolist() == pytest.approx([1, 1, 1, 1])


def test_usage_counts_images(found):
    usage = tables.usage_table(found)
    assert usage["expert"].tolist() == list(EXPERTS)
    assert usage["chosen"].tolist() == [50, 100, 50]
    assert usage["first choice"].tolist() == [50, 25, 25]
    assert usage["mean weight"].sum() == pytest.approx(1)


def test_counts_keep_empty_experts_and_columns(gallery):
    counts = tables.expert_counts(gallery, "style", (*EXPERTS, "never"), ("photo", "sketch", "x"))
    assert counts.to_numpy().tolist() == [[2, 0, 0], [0, 1, 0], [0, 1, 0], [0, 0, 0]]
    assert list(counts.index) == [*EXPERTS, "never"]


def test_accuracy_names_the_most_frequent_mistake(gallery):
    by_class = tables.accuracy_by(gallery, "true")
    assert by_class.to_numpy().tolist() == [
        ["cat", 2, 50.0, "dog (1×)"],
        ["dog", 2, 50.0, "cat (1×)"],
    ]
    assert "style" in tables.accuracy_by(gallery, "style")


def test_experts_of_one_image(found):
    table = tables.experts_table(found.routed, 0)
    assert table["own prediction"].tolist() == ["cat", "cat", "dog"]
    assert table["probability"].tolist() == pytest.approx([0.9, 0.8, 0.9])
    assert table["share"].sum() == pytest.approx(1)
    assert table["weight"].tolist()[2] == 0


def test_top_classes_are_sorted(found):
    table = tables.top_classes(found.routed, 1)
    assert table["class"].tolist() == ["dog", "cat"]
    assert table["probability"].tolist() == pytest.approx([0.6, 0.4])


def test_shares_before_and_after(found):
    moved = replace(found.routed, scores=found.routed.scores.flip(0))
    table = tables.share_table(found.routed, moved)
    for column, scores in (("before", [2.0, 1, 0]), ("after", [1.0, 0.9, 0])):
        expected = np.exp(scores) / np.exp(scores).sum()
        assert table[column].tolist() == pytest.approx(expected.tolist(), abs=1e-6)


@pytest.mark.parametrize(
    ("gain", "error", "said"),
    [(3.0, 1.0, "it helps here"), (-3.0, 1.0, "does not help"), (1.0, 1.0, "no clear difference")],
)
def test_value_of_routing_in_words(gain, error, said):
    value = RoutingValue(60, 59, 50, 57, "dark", "validation", 70, gain, error, {"dark": 57})
    assert said in words.value_of_routing(value)
    table = tables.routing_value_table(value)
    assert table["accuracy"].tolist() == [60, 59, 50, 57, 70]
    assert "'dark' for every image, chosen on the validation images" in table["meaning"][3]
    assert "upper bound" in table["meaning"][4]


def test_the_difference_names_the_best_of_the_bars():
    value = RoutingValue(79.7, 20, 28.6, 28.1, "dark", "validation", 90, 51.6, 2.0, {"dark": 28})
    said = words.value_of_routing(value)
    assert "51.6 points better than the best single expert (±4.0): **it helps here**." in said
    assert "Than a random expert, the best of the other bars, it is 51.1 points better." in said
    level = RoutingValue(29.0, 20, 28.6, 20.0, "dark", "validation", 90, 9.0, 2.0, {"dark": 28})
    assert "no clear difference" in words.value_of_routing(level)


@pytest.mark.parametrize(
    ("nmi", "said"),
    [
        (None, "cannot be measured"),
        (0.0, "do not follow"),
        (0.2, "a little"),
        (0.5, "clearly"),
        (0.9, "closely"),
    ],
)
def test_style_nmi_in_words(nmi, said):
    assert said in words.nmi_in_words(nmi)


def test_map_table_says_what_each_point_is(projection):
    table = space_tables.map_table(projection, GROUPS, CLASSES)
    assert len(table) == 6 + 4 + 8
    hard = table[table["kind"] == "hard"]
    assert hard["template"].tolist() == [
        *["a photo of a {}."] * 2,
        *["{} photo"] * 2,
        *["a sketch of a {}."] * 2,
    ]
    assert hard["class"].tolist() == ["cat", "dog"] * 3
    assert table.loc[table["kind"] == "soft", "epoch"].tolist() == [0] * 4 + [4] * 4
    assert table.loc[table["kind"] != "soft", "epoch"].isna().all()
    assert space_tables.count_kinds(projection) == {"hard": 6, "prototype": 4, "soft": 8}


def test_one_epoch_and_some_classes_are_shown(projection):
    table = space_tables.map_table(projection, GROUPS, CLASSES)
    shown = space_tables.shown_points(table, ["dog"], 4)
    assert set(shown["class"]) == {"dog"}
    assert set(shown["epoch"].dropna()) == {4}
    assert len(shown) == 3 + 2 + 2
    only_soft = space_tables.shown_points(table, ["dog"], 4, ["soft"])
    assert len(only_soft) == 2
    assert space_tables.soft_pairs(only_soft).empty


def test_each_soft_point_meets_its_own_prototype(projection):
    table = space_tables.map_table(projection, GROUPS, CLASSES)
    pairs = space_tables.soft_pairs(space_tables.shown_points(table, CLASSES, 0))
    assert len(pairs) == 4
    for _, pair in pairs.iterrows():
        own = table[(table["group"] == pair["group"]) & (table["class"] == pair["class"])]
        prototype = own[own["kind"] == "prototype"].iloc[0]
        assert pair["x_prototype"] == prototype["x"]
        assert pair["x_soft"] == own[own["epoch"] == 0].iloc[0]["x"]


def test_a_handful_of_classes_is_spread_over_the_list():
    names = [str(number) for number in range(58)]
    assert space_tables.few_classes(names) == ["0", "14", "28", "43", "57"]
    assert space_tables.few_classes(names[:3]) == ["0", "1", "2"]


def test_drift_words_and_selection_become_tables():
    frame = space_tables.drift_frame([Drift(1, 5, 0.9, 0.5, 0.25)], EXPERTS)
    assert frame.to_numpy().tolist() == [["sketch", 5, 0.9, 50.0, 25.0]]
    words = space_tables.words_table([[NearWord("a", 1.0), NearWord("the", 0.5)]])
    assert words.to_dict("records") == [
        {"token": 1, "word 1": "a", "cosine 1": 1.0, "word 2": "the", "cosine 2": 0.5}
    ]
    chosen = space_tables.selected_table(
        [["soft", "photo", "cat", ""], ["hard", "dark", "dog", "t"]]
    )
    assert chosen["class"].tolist() == ["cat", "dog"]


def test_experts_galleries_are_certain_ambiguous_and_wrong():
    rows = [
        # experts, weights, entropy, probability, right
        (("a", "b"), (0.9, 0.1), 0.3, 0.8, True),
        (("b", "a"), (0.6, 0.4), 0.9, 0.7, False),
        (("a", "b"), (0.6, 0.4), 0.8, 0.5, False),
        (("a", "b"), (0.7, 0.3), 0.6, 0.9, False),
        (("b", "c"), (0.5, 0.5), 1.0, 0.6, True),
    ]
    columns = ["experts", "weights", "entropy", "probability", "right"]
    table = pd.DataFrame(rows, columns=columns)
    table["expert"] = [names[0] for names in table["experts"]]
    found = galleries.expert_galleries(table, "a")
    assert found["certain"].index.tolist() == [0, 3, 2]
    assert found["ambiguous"].index.tolist() == [1, 2, 3, 0]
    assert found["wrong"].index.tolist() == [3, 2]
    assert all(part.empty for part in galleries.expert_galleries(table, "d").values())


def test_styles_in_words_have_something_to_compare_with(found):
    table = galleries.gallery_table(found).assign(
        style=["photo", "photo", "sketch", None], expert=["a", "b", "b", "a"]
    )
    assert tables.styles_in_words(table) == (
        "For 67 % of the images the first choice is the expert used most for their style; experts "
        "can share a style. If styles had no influence, it would be 67 %."
    )
    apart = table.assign(style=["photo", "sketch", "sketch", "photo"])
    assert tables.styles_in_words(apart).startswith("For 100 % of")
    assert "would be 50 %" in tables.styles_in_words(apart)
    assert tables.styles_in_words(table.assign(style=None)) == ""
