"""Measures that count every class alike, image by image and class by class: slow and obvious."""

from __future__ import annotations


def predictions(probabilities):
    """Returns the first of the most probable classes of every image."""
    return [row.index(max(row)) for row in probabilities.tolist()]


def confusion(probabilities, labels):
    """Returns a list for each true class of how often every class is predicted."""
    number = probabilities.shape[1]
    table = [[0] * number for _ in range(number)]
    for label, predicted in zip(labels.tolist(), predictions(probabilities), strict=True):
        table[label][predicted] += 1
    return table


def macro_f1(probabilities, labels):
    """Returns the mean F1 in percent over the classes that there are images of."""
    pairs = list(zip(labels.tolist(), predictions(probabilities), strict=True))
    scores = []
    for name in sorted(set(labels.tolist())):
        hits = sum(true == name and told == name for true, told in pairs)
        told = sum(told == name for _, told in pairs)
        there = sum(true == name for true, _ in pairs)
        precision = hits / told if told else 0.0
        recall = hits / there
        both = precision + recall
        scores.append(2 * precision * recall / both if both else 0.0)
    return 100 * sum(scores) / len(scores)


def mean_class_accuracy(probabilities, labels):
    """Returns the mean over classes of their accuracy, in percent."""
    accuracies = []
    for name in sorted(set(labels.tolist())):
        own = [
            told == name
            for true, told in zip(labels.tolist(), predictions(probabilities), strict=True)
            if true == name
        ]
        accuracies.append(sum(own) / len(own))
    return 100 * sum(accuracies) / len(accuracies)


def top_accuracy(probabilities, labels, count):
    """Returns the images, in percent, whose class fewer than `count` classes come before."""
    hits = 0
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        before = [
            c for c, p in enumerate(row) if p > row[label] or (p == row[label] and c < label)
        ]
        hits += len(before) < count
    return 100 * hits / len(labels)
