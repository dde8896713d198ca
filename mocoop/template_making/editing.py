"""Groups of templates that are changed by hand: move, rename, split, merge, group again."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from mocoop.errors import UserError
from mocoop.template_making.group_names import group_names
from mocoop.template_making.grouping import (
    centred,
    medoid_first,
    spherical_kmeans,
    split,
)
from mocoop.templates import Groups

NAME_LETTERS = 60  # of a group


@dataclass(frozen=True, eq=False)
class EditedGroups:
    """Groups of templates. Every change returns new groups, so that it can be undone."""

    templates: tuple[str, ...]
    vectors: np.ndarray = field(repr=False)
    """Centred unit vectors (templates, dim)."""
    members: Mapping[str, tuple[int, ...]]
    """Group → indices of its templates, the medoid first. A template may be in no group."""

    @classmethod
    def of(cls, groups: Groups, templates: Sequence[str], vectors: np.ndarray) -> EditedGroups:
        """Returns groups that can be changed.

        Args:
            groups: the groups; templates that are not known are left out.
            templates: every template that was kept.
            vectors: their centred unit vectors (templates, dim).
        """
        place = {template: index for index, template in enumerate(templates)}
        members = {
            name: tuple(place[text] for text in some if text in place)
            for name, some in groups.items()
        }
        return cls(tuple(templates), vectors, {n: some for n, some in members.items() if some})

    @property
    def groups(self) -> Groups:
        """The groups as templates, from whose first one an expert starts."""
        return {
            name: tuple(self.templates[index] for index in some)
            for name, some in self.members.items()
        }

    def group_of(self) -> list[str]:
        """Returns the group of every template; "" for one that is in none."""
        found = [""] * len(self.templates)
        for name, some in self.members.items():
            for index in some:
                found[index] = name
        return found

    def moved(self, indices: Sequence[int], to: str) -> EditedGroups:
        """Returns groups in which some templates are in another group.

        Groups that become empty are gone.

        Args:
            indices: the templates.
            to: name of the group, which may be a new one; "" leaves them out of all groups.

        Raises:
            UserError: if no template is given, or none would be left in any group.
        """
        chosen = set(indices)
        if not chosen:
            raise UserError("Select templates first: points on the map, or rows of the table.")
        members = {
            name: tuple(index for index in some if index not in chosen)
            for name, some in self.members.items()
        }
        if to:
            to = to if to in members else _checked_name(to, members)
            members[to] = (*members.get(to, ()), *sorted(chosen))
        return self._with(members)

    def added(self, template: str, vector: np.ndarray, to: str) -> EditedGroups:
        """Returns groups of which one has another template, which may be known already.

        Args:
            template: the template.
            vector: its centred unit vector (dim,).
            to: name of the group.
        """
        if template in self.templates:
            return self.moved([self.templates.index(template)], to)
        more = replace(
            self,
            templates=(*self.templates, template),
            vectors=np.concatenate([self.vectors, vector[None]]),
        )
        return more.moved([len(self.templates)], to)

    def renamed(self, name: str, new: str) -> EditedGroups:
        """Returns groups of which one has another name.

        Raises:
            UserError: for an empty name, a long one, or one that another group has.
        """
        others = [one for one in self.members if one != name]
        new = _checked_name(new, others)
        return replace(
            self, members={new if n == name else n: some for n, some in self.members.items()}
        )

    def merged(self, name: str, into: str) -> EditedGroups:
        """Returns groups in which one has joined another.

        Raises:
            UserError: if both are the same.
        """
        if name == into:
            raise UserError("A group cannot be merged with itself. Choose another one.")
        return self.moved(self.members[name], into)

    def split(self, name: str, seed: int = 1) -> EditedGroups:
        """Returns groups of which one is split in two; the larger part keeps its name.

        Raises:
            UserError: if its templates are too few or too much alike.
        """
        some = np.array(self.members[name])
        vectors = centred(self.vectors[some]) if len(some) > 1 else np.zeros((1, 1))
        if not vectors.any():
            raise UserError(
                f"The group {name!r} cannot be split: it has one template, or templates that "
                "CLIP cannot tell apart."
            )
        labels = spherical_kmeans(vectors, 2, seed)
        larger = int((labels == 1).sum() > (labels == 0).sum())
        stays, leaves = some[labels == larger], some[labels != larger]
        rest = {n: list(group) for n, group in self.groups.items() if n != name}
        parts = [[self.templates[i] for i in part] for part in (leaves, stays)]
        called = group_names([*parts, *rest.values()])[0]
        members: dict[str, tuple[int, ...]] = {}
        for one, before in self.members.items():
            members[one] = tuple(stays.tolist()) if one == name else before
            if one == name:
                members[_free_name(called, self.members)] = tuple(leaves.tolist())
        return self._with(members)

    def again(self, count: int, seed: int = 1) -> EditedGroups:
        """Returns new groups of all templates by spherical k-means, with new names.

        Args:
            count: number of groups; there are fewer if some would have one template.
            seed: seed of k-means.
        """
        labels = split(self.vectors, count, "kmeans", seed)
        parts = [
            medoid_first(self.vectors, np.flatnonzero(labels == number))
            for number in range(int(labels.max()) + 1)
        ]
        names = group_names([[self.templates[index] for index in part] for part in parts])
        return replace(
            self, members={name: tuple(part) for name, part in zip(names, parts, strict=True)}
        )

    def _with(self, members: Mapping[str, Sequence[int]]) -> EditedGroups:
        """Returns groups with other members; medoids of changed groups are found anew."""
        found = {}
        for name, some in members.items():
            if some and set(some) != set(self.members.get(name, ())):
                found[name] = tuple(medoid_first(self.vectors, np.array(sorted(some))))
            elif some:
                found[name] = tuple(some)
        if not found:
            raise UserError("At least one template must stay in a group.")
        return replace(self, members=found)


def _checked_name(name: str, others: Mapping[str, object] | Sequence[str]) -> str:
    """Returns a group's name without spaces around it.

    Raises:
        UserError: for an empty name, a long one, or one that another group has.
    """
    name = " ".join(name.split())
    if not name or len(name) > NAME_LETTERS:
        raise UserError(f"A group needs a name of 1 to {NAME_LETTERS} letters.")
    if name in others:
        raise UserError(f"Another group is called {name!r}. Choose another name, or merge them.")
    return name


def _free_name(name: str, names: Mapping[str, object]) -> str:
    """Returns a name that no group has: itself, or with a number."""
    number, tried = 1, name
    while tried in names:
        number += 1
        tried = f"{name} {number}"
    return tried
