"""Groups of templates by their centred features. Only NumPy, SciPy and scikit-learn are needed.

A template's vector is its mean feature over the classes, minus the mean over all templates,
normalised. Without centring all templates look alike: what the classes have in common dominates.
"""

from __future__ import annotations

import numpy as np
from scipy.cluster.hierarchy import fcluster, linkage
from scipy.spatial.distance import squareform

from mocoop.errors import UserError

MOST_LINKED = 5000  # templates whose distances average linkage keeps in memory
RESTARTS = 50
STEPS = 100  # of one k-means
ALIKE = 1e-6  # centred vectors shorter than this have no direction
LEAST = 2  # templates of a group; smaller ones join the nearest


def centred(means: np.ndarray) -> np.ndarray:
    """Returns unit vectors (templates, dim) of mean features; 0 if it is average."""
    vectors = means - means.mean(axis=0)
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.where(norms > ALIKE, vectors / np.maximum(norms, ALIKE), 0.0)


def split(vectors: np.ndarray, count: int, method: str, seed: int) -> np.ndarray:
    """Returns the group of each template, (templates,), numbered by size, the largest first.

    Groups of one template have joined the nearest group, so that there may be fewer than
    `count`.

    Args:
        vectors: unit vectors (templates, dim).
        count: number of groups.
        method: kmeans or linkage.
        seed: seed of k-means; average linkage needs none.
    """
    if count <= 1 or len(vectors) <= LEAST:
        return np.zeros(len(vectors), dtype=int)
    if method == "kmeans":
        labels = spherical_kmeans(vectors, count, seed)
    else:
        labels = average_linkage(vectors, count)
    return by_size(merge_small(vectors, labels))


def spherical_kmeans(
    vectors: np.ndarray, count: int, seed: int, restarts: int = RESTARTS
) -> np.ndarray:
    """Returns groups (templates,) whose centres have the largest summed cosine to their members.

    Each of the restarts begins with k-means++ on 1 - cosine; the best one counts.

    Source: Dhillon and Modha, "Concept decompositions for large sparse text data", 2001.
    """
    generator = np.random.default_rng(seed)
    restarts = max(1, restarts if len(vectors) <= 2000 else restarts // 10)
    best, best_score = np.zeros(len(vectors), dtype=int), -np.inf
    for _ in range(restarts):
        centres = _spread_centres(vectors, count, generator)
        labels = np.full(len(vectors), -1)
        for _ in range(STEPS):
            cosines = vectors @ centres.T
            new = cosines.argmax(axis=1)
            if (new == labels).all():
                break
            labels = new
            centres = _centres(vectors, labels, count, cosines)
        score = float((vectors * centres[labels]).sum())
        if score > best_score + 1e-9:  # equal ones differ in the last bits
            best, best_score = labels, score
    return best


def average_linkage(vectors: np.ndarray, count: int) -> np.ndarray:
    """Returns groups (templates,) by average linkage on 1 - cosine.

    Raises:
        UserError: for more templates than `MOST_LINKED`.
    """
    if len(vectors) > MOST_LINKED:
        raise UserError(
            f"Average linkage takes at most {MOST_LINKED:,} templates, but there are "
            f"{len(vectors):,}. Group them with kmeans."
        )
    distances = np.clip(1.0 - vectors @ vectors.T, 0.0, 2.0)
    distances = (distances + distances.T) / 2
    np.fill_diagonal(distances, 0.0)
    tree = linkage(squareform(distances, checks=False), "average")
    return fcluster(tree, count, "maxclust") - 1


def merge_small(vectors: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """Returns groups (templates,) in which groups of one template have joined the nearest one."""
    labels = labels.copy()
    while True:
        names, sizes = np.unique(labels, return_counts=True)
        if len(names) == 1 or sizes.min() >= LEAST:
            return labels
        small = names[sizes.argmin()]
        others = names[names != small]
        centres = np.stack([_direction(vectors[labels == name].sum(axis=0)) for name in others])
        own = _direction(vectors[labels == small].sum(axis=0))
        labels[labels == small] = others[(centres @ own).argmax()]


def by_size(labels: np.ndarray) -> np.ndarray:
    """Returns groups numbered from 0, the largest first; equal ones by their first member."""
    names = list(dict.fromkeys(labels.tolist()))
    sizes = {name: int((labels == name).sum()) for name in names}
    order = sorted(names, key=lambda name: -sizes[name])  # stable: first member breaks ties
    number = {name: index for index, name in enumerate(order)}
    return np.array([number[name] for name in labels.tolist()])


def medoid_first(vectors: np.ndarray, members: np.ndarray) -> list[int]:
    """Returns the indices of a group's templates by falling mean cosine to the group.

    The first is the medoid, from which the group's expert starts.

    Args:
        vectors: unit vectors of all templates.
        members: indices of the group's templates.
    """
    own = vectors[members]
    closeness = np.round(own @ own.mean(axis=0), 9)  # the last bits do not decide
    return [int(members[i]) for i in np.argsort(-closeness, kind="stable")]


def silhouette(vectors: np.ndarray, labels: np.ndarray, seed: int) -> float:
    """Returns the mean silhouette with 1 - cosine, from -1 to 1; 0 for a single group."""
    if not 1 < len(np.unique(labels)) < len(labels):
        return 0.0
    from sklearn.metrics import silhouette_score

    size = 2000 if len(vectors) > 2000 else None
    return float(
        silhouette_score(vectors, labels, metric="cosine", sample_size=size, random_state=seed)
    )


def agreement(first: np.ndarray, second: np.ndarray) -> float:
    """Returns the adjusted Rand index of two groupings: 1 if equal, about 0 by chance."""
    from sklearn.metrics import adjusted_rand_score

    return float(adjusted_rand_score(first, second))


def _spread_centres(vectors: np.ndarray, count: int, generator: np.random.Generator) -> np.ndarray:
    """Returns centres (groups, dim) that k-means++ draws among the vectors."""
    chosen = [int(generator.integers(len(vectors)))]
    distances = 1.0 - vectors @ vectors[chosen[0]]
    while len(chosen) < count:
        weights = np.clip(distances, 0.0, None)
        total = weights.sum()
        if total <= ALIKE:
            index = int(generator.integers(len(vectors)))
        else:
            index = int(generator.choice(len(vectors), p=weights / total))
        chosen.append(index)
        distances = np.minimum(distances, 1.0 - vectors @ vectors[index])
    return vectors[chosen]


def _centres(
    vectors: np.ndarray, labels: np.ndarray, count: int, cosines: np.ndarray
) -> np.ndarray:
    """Returns the groups' normalised sums; an empty group takes the vector that fits least."""
    centres = np.zeros((count, vectors.shape[1]))
    np.add.at(centres, labels, vectors)
    empty = np.flatnonzero(np.bincount(labels, minlength=count) == 0)
    if len(empty):
        worst = np.argsort(cosines.max(axis=1), kind="stable")
        centres[empty] = vectors[worst[: len(empty)]]
    return np.stack([_direction(centre) for centre in centres])


def _direction(vector: np.ndarray) -> np.ndarray:
    norm = np.linalg.norm(vector)
    return vector / norm if norm > ALIKE else vector
