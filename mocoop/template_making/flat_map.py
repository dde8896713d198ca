"""A map of templates in two dimensions: the principal axes of their centred features."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from mocoop.template_making.grouping import ALIKE, centred


@dataclass(frozen=True, eq=False)
class TemplateMap:
    """Where templates stand, and where another one would."""

    mean: np.ndarray = field(repr=False)
    """Mean feature of all templates, (dim,)."""
    vectors: np.ndarray = field(repr=False)
    """Centred unit vectors (templates, dim), as they are grouped."""
    axes: np.ndarray = field(repr=False)
    """The two directions in which the vectors differ most, (2, dim)."""
    shown: float
    """Share of the vectors' variance that the map shows, 0 to 1."""

    @classmethod
    def of(cls, means: np.ndarray) -> TemplateMap:
        """Returns the map of templates; the same templates give the same map.

        Args:
            means: mean features of the templates, (templates, dim).
        """
        vectors = centred(means)
        spread = vectors - vectors.mean(axis=0)
        values, directions = np.linalg.eigh(spread.T @ spread)
        axes = directions[:, :-3:-1].T
        largest = np.abs(axes).argmax(axis=1)
        axes = axes * np.sign(axes[np.arange(len(axes)), largest])[:, None]
        total = float(np.clip(values, 0.0, None).sum())
        shown = float(values[-2:].sum()) / total if total > ALIKE else 1.0
        return cls(means.mean(axis=0), vectors, axes, min(1.0, shown))

    @property
    def points(self) -> np.ndarray:
        """Coordinates of the templates, (templates, 2)."""
        return self.vectors @ self.axes.T

    def vector(self, mean: np.ndarray) -> np.ndarray:
        """Returns the centred unit vector (dim,) of a template with this mean feature (dim,)."""
        difference = mean - self.mean
        norm = float(np.linalg.norm(difference))
        return difference / norm if norm > ALIKE else np.zeros_like(difference)

    def place(self, mean: np.ndarray) -> np.ndarray:
        """Returns the coordinates (2,) of a template with this mean feature (dim,)."""
        return self.axes @ self.vector(mean)
