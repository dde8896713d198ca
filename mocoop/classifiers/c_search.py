"""The two searches for the linear probe's C: CoOp's own, and ours.

Both try exponents of ten and see nothing but validation accuracies.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeAlias

Measure: TypeAlias = Callable[[float], float]  # log10 of C → validation accuracy
CSearch: TypeAlias = Callable[[Measure], float]
"""Returns the log10 of the chosen C, given a function that measures one."""

FIRST_EXPONENTS = (6.0, 4.0, 2.0, 0.0, -2.0, -4.0, -6.0)
"""log10 of the values of C that are tried first, in CoOp's order."""
STEPS = 8


def published_c(measure: Measure) -> float:
    """Returns the log10 of C that CoOp's public code ends with.

    The first values are 1e6, 1e4, ..., 1e-6; of equally good ones the largest is kept. Around it
    lies an interval of a decade to either side. Eight steps each measure both of its ends, go on
    with the half at the better end (the left one if they are equal), and the last step's better
    end is the result: it need not be the best of all values tried, and the middle is never tried.

    Source: Zhou et al., IJCV 2022, arXiv 2109.01134, and their public code.
    """
    accuracies = [measure(exponent) for exponent in FIRST_EXPONENTS]
    peak = FIRST_EXPONENTS[accuracies.index(max(accuracies))]
    left, right = peak - 1, peak + 1
    better = peak
    for _ in range(STEPS):
        middle = (left + right) / 2
        if measure(left) < measure(right):
            better, left = right, middle
        else:
            better, right = left, middle
    return better


def own_c(measure: Measure) -> float:
    """Returns the log10 of the C with the best accuracy of all that are tried.

    The first values are those of CoOp. Eight steps then try one value to the left and one to the
    right of the best C, at a distance of 1, 1/2, ..., 1/128 decades, and keep the best of the
    three. Of equally good values, the one nearest to 1 (scikit-learn's default) is kept.
    Otherwise a plateau could lead to weights close to zero or to very large weights.
    """
    tried: dict[float, float] = {}

    def best(*exponents: float) -> float:
        """Tries these exponents and returns the best exponent so far."""
        for exponent in exponents:
            tried[exponent] = measure(exponent)
        return max(tried, key=lambda e: (tried[e], -abs(e), e))

    peak = best(*reversed(FIRST_EXPONENTS))
    for step in range(STEPS):
        distance = 0.5**step
        peak = best(peak - distance, peak + distance)
    return peak
