"""The tables of the Prompt space page: plain data in, pandas out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import pandas as pd
from torch import Tensor

from mocoop.analysis.drift import Drift, NearWord
from mocoop.analysis.placing import Nearness
from mocoop.analysis.projection import HARD, KINDS, PROTOTYPE, SOFT, Projection
from mocoop.model.block_tokens import TEXT
from mocoop.templates import Groups

AXES = ("x", "y", "z")
TYPED_GROUP = "your prompt"


def drift_frame(rows: Sequence[Drift], experts: Sequence[str]) -> pd.DataFrame:
    """Returns a row per expert and epoch; shares are in percent."""
    return pd.DataFrame(
        {
            "expert": [experts[row.expert] for row in rows],
            "epoch": [row.epoch for row in rows],
            "own cosine": [row.own_cosine for row in rows],
            "own nearest": [100 * row.own_nearest for row in rows],
            "outside": [100 * row.outside_span for row in rows],
        }
    )


def block_frame(records: Sequence[Mapping[str, Any]], experts: Sequence[str]) -> pd.DataFrame:
    """Returns a row per epoch, tower, expert and block: how far its learned tokens moved.

    Blocks count from 1. Keys and values belong to no expert, and neither do tokens of the image
    tower, unless each expert has some of its own.

    Args:
        records: of a run, one per epoch; those of earlier versions have no such numbers.
        experts: the names of the experts.
    """
    columns = ["epoch", "tower", "expert", "block", "moved"]
    rows = []
    for record in records:
        for tower, parts in (record.get("moved") or {}).items():
            own = len(parts) == len(experts) and (tower == TEXT or len(parts) > 1)
            owners = experts if own else [""]
            for owner, blocks in zip(owners, parts, strict=True):
                rows += [
                    (record["epoch"], tower, owner, block, distance)
                    for block, distance in enumerate(blocks, start=1)
                ]
    return pd.DataFrame(rows, columns=columns)


def map_table(projection: Projection, groups: Groups, class_names: Sequence[str]) -> pd.DataFrame:
    """Returns a row per point of a map: coordinates, kind, group, class, template, epoch.

    `epoch` is missing for hard points and prototypes; only hard points have a `template`.
    """
    points, names = projection.points, tuple(groups)
    coordinates = projection.coordinates.numpy()  # (points, dims)
    group = points.group.tolist()
    table = pd.DataFrame({AXES[i]: coordinates[:, i] for i in range(coordinates.shape[1])})
    table["kind"] = [KINDS[kind] for kind in points.kind.tolist()]
    table["group"] = [names[index] for index in group]
    table["class"] = [class_names[label] for label in points.label.tolist()]
    table["template"] = [
        groups[names[index]][number] if number >= 0 else None
        for index, number in zip(group, points.template.tolist(), strict=True)
    ]
    epochs = pd.Series(points.epoch.tolist(), dtype="Int64")
    table["epoch"] = epochs.mask(epochs < 0)
    return table


def shown_points(
    table: pd.DataFrame, class_names: Sequence[str], epoch: int, kinds: Sequence[str] = KINDS
) -> pd.DataFrame:
    """Returns the hard points, prototypes, and soft points of one epoch, of some classes."""
    now = (table["epoch"] == epoch).fillna(False).astype(bool) | (table["kind"] != KINDS[SOFT])
    return table[now & table["class"].isin(class_names) & table["kind"].isin(kinds)]


def typed_points(
    places: Tensor, template: str, classes: Sequence[int], class_names: Sequence[str]
) -> pd.DataFrame:
    """Returns a row per class with the place of a typed prompt, in the columns of `map_table`.

    Args:
        places: (classes, dims), where the prompt stands for these classes.
        template: the typed prompt.
        classes: labels of the classes.
        class_names: of the data set, in label order.
    """
    table = pd.DataFrame({AXES[i]: places[:, i].numpy() for i in range(places.shape[1])})
    table["kind"], table["group"] = "typed", TYPED_GROUP
    table["class"] = [class_names[label] for label in classes]
    table["template"] = template
    table["epoch"] = pd.Series([pd.NA] * len(table), dtype="Int64")
    return table


def nearness_table(near: Sequence[Nearness], groups: Sequence[str]) -> pd.DataFrame:
    """Returns a row per group, nearest first: mean cosine to a typed prompt, share of classes."""
    table = pd.DataFrame(
        {
            "group": list(groups),
            "cosine": [one.cosine for one in near],
            "nearest": [100 * one.nearest for one in near],
        }
    )
    return table.sort_values("cosine", ascending=False, kind="stable", ignore_index=True)


def search_choices(groups: Sequence[str], classes: Sequence[str]) -> dict[str, tuple[str, str]]:
    """Returns what can be found on a map: entry of the menu → column and value of `map_table`."""
    found = {f"{name} (class)": ("class", name) for name in classes}
    if len(groups) > 1:
        found |= {f"{name} (group)": ("group", name) for name in groups}
    return found


def nearest_shares(shares: Tensor, experts: Sequence[str]) -> dict[str, dict[str, float]]:
    """Returns expert → group → share of classes, from `mocoop.analysis.drift.nearest_groups`."""
    return {
        expert: dict(zip(experts, row, strict=True))
        for expert, row in zip(experts, shares.tolist(), strict=True)
    }


def soft_pairs(shown: pd.DataFrame) -> pd.DataFrame:
    """Returns each soft point with its prototype, in columns `x_soft`, `x_prototype`, …"""
    soft = shown[shown["kind"] == KINDS[SOFT]]
    prototypes = shown[shown["kind"] == KINDS[PROTOTYPE]]
    return soft.merge(prototypes, on=["group", "class"], suffixes=("_soft", "_prototype"))


def most_routed(gallery: pd.DataFrame, classes: Sequence[str]) -> tuple[str, str]:
    """Returns the expert and the class that occur together in the most test images.

    Args:
        gallery: table of test images, with `expert` (the first choice) and `true` (the class).
        classes: the classes to consider; all classes if none of these has a test image.
    """
    of_these = gallery[gallery["true"].isin(list(classes))]
    pairs = (gallery if of_these.empty else of_these).groupby(["expert", "true"]).size()
    best: Sequence[object] = pairs.index[int(pairs.to_numpy().argmax())]
    return str(best[0]), str(best[1])


def few_classes(classes: Sequence[str], count: int = 5) -> list[str]:
    """Returns a few class names, evenly spaced in the list."""
    if len(classes) <= count:
        return list(classes)
    step = (len(classes) - 1) / (count - 1)
    return [classes[round(index * step)] for index in range(count)]


def words_table(tokens: Sequence[Sequence[NearWord]]) -> pd.DataFrame:
    """Returns a row per learned token of one expert: its nearest words and their cosines."""
    rows = []
    for number, words in enumerate(tokens, start=1):
        cells: dict[str, object] = {"token": number}
        for rank, near in enumerate(words, start=1):
            cells[f"word {rank}"] = near.word
            cells[f"cosine {rank}"] = near.cosine
        rows.append(cells)
    return pd.DataFrame(rows)


def selected_table(customdata: Sequence[Sequence[object]]) -> pd.DataFrame:
    """Returns a row per selected point of a map, from the points' `customdata`."""
    columns = ["kind", "group", "class", "template"]
    rows = [tuple(values)[: len(columns)] for values in customdata]
    return pd.DataFrame(rows, columns=columns)


def count_kinds(projection: Projection) -> dict[str, int]:
    """Returns kind → number of its points on which the map was fitted."""
    kinds = projection.points.kind
    return {KINDS[kind]: int((kinds == kind).sum()) for kind in (HARD, PROTOTYPE, SOFT)}
