"""Calibration, routing and agreement measures: by hand, by plain loops, and at their edges."""

from __future__ import annotations

import doctest
import math
import statistics
from dataclasses import FrozenInstanceError

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import normalized_mutual_info_score

from mocoop.errors import UserError
from mocoop.evaluation import measures
from mocoop.evaluation.evaluate import evaluate
from mocoop.evaluation.measures import (
    ReliabilityBin,
    calibration_error,
    guide_agreement,
    reliability_table,
    routing_measures,
    style_information,
)
from mocoop.model.router import GUIDE_BONUS, guide_scores, guide_target, top_weights
from tests.support import reference
from tests.support.routed_example import routed_items


def draw(*shape, seed=0):
    """Returns seeded normal numbers."""
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def two_classes(*confidences, dtype=torch.float32):
    """Returns probabilities (images, 2) whose first class has these confidences."""
    first = torch.tensor(confidences, dtype=dtype)
    return torch.stack([first, 1 - first], dim=-1)


def looped_bins(probabilities, labels, bins):
    """Returns (confidences, hits) of the images of every bin, image by image."""
    found = [([], []) for _ in range(bins)]
    for row, label in zip(probabilities.tolist(), labels.tolist(), strict=True):
        confidence = max(row)
        for index in range(bins):
            if index / bins < confidence <= (index + 1) / bins:
                found[index][0].append(confidence)
                found[index][1].append(row.index(confidence) == label)
    return found


def looped_calibration_error(probabilities, labels, bins):
    """Returns the expected calibration error in percent, bin by bin."""
    total = 0.0
    for confidences, hits in looped_bins(probabilities, labels, bins):
        if hits:
            gap = abs(sum(hits) / len(hits) - sum(confidences) / len(confidences))
            total += len(hits) / len(labels) * gap
    return 100.0 * total


def looped_entropy(probabilities):
    """Returns the entropy of one list of probabilities in nats."""
    return -sum(p * math.log(p) for p in probabilities if p > 0)


def looped_routing(scores, weights):
    """Returns entropy, entropy share, load balance, largest load, unused and usage."""
    entropies = []
    for row in scores.tolist():
        total = sum(math.exp(z) for z in row)
        entropies.append(looped_entropy([math.exp(z) / total for z in row]))
    columns = list(zip(*weights.tolist(), strict=True))
    usage = [sum(column) / len(column) for column in columns]
    most = math.log(len(usage))
    entropy = sum(entropies) / len(entropies)
    unused = [share for share in usage if share < 1 / (10 * len(usage))]
    return (
        entropy,
        entropy / most,
        looped_entropy(usage) / most,
        max(usage),
        len(unused),
        *usage,
    )


def best(row, count):
    """Returns the places of the largest numbers, the first of equal ones first."""
    return sorted(range(len(row)), key=lambda g: -row[g])[:count]


def looped_agreement(scores, guide, num_chosen):
    """Returns first and overlap in percent, image by image."""
    first = overlap = 0.0
    for row, guide_row in zip(scores.tolist(), guide.tolist(), strict=True):
        first += best(row, 1) == best(guide_row, 1)
        common = set(best(row, num_chosen)) & set(best(guide_row, num_chosen))
        overlap += len(common) / num_chosen
    return 100.0 * first / len(scores), 100.0 * overlap / len(scores)


# Calibration


def test_calibration_by_hand():
    """Two bins: (0, 0.5] with 0.5 and (0.5, 1] with 0.6, 0.8 and 1.0."""
    probabilities = two_classes(0.5, 0.6, 0.8, 1.0)
    labels = torch.tensor([0, 0, 1, 0])  # right, right, wrong, right
    # 1/4 |1 - 0.5| + 3/4 |2/3 - 0.8| = 0.125 + 0.1
    assert calibration_error(probabilities, labels, 2) == pytest.approx(22.5)
    low, high = reliability_table(probabilities, labels, 2)
    assert low == ReliabilityBin(0.0, 0.5, 1, 0.5, 1.0)
    assert (high.low, high.high, high.count) == (0.5, 1.0, 3)
    assert high.mean_confidence == pytest.approx(0.8)
    assert high.accuracy == pytest.approx(2 / 3)


def test_one_bin_compares_the_means():
    """With a single bin the error is the distance of mean confidence and accuracy."""
    found = routed_items()  # confidences 0.9, 0.6, 0.8, 0.7, two of four right
    error = calibration_error(found.routed.probabilities, found.labels, 1)
    assert error == pytest.approx(25.0)


@pytest.mark.parametrize("bins", [1, 2, 7, 15])
@pytest.mark.parametrize("scale", [0.3, 4.0])
def test_calibration_equals_the_loops(bins, scale):
    """Error and table are those of the plain loops."""
    probabilities = (scale * draw(200, 4).double()).softmax(dim=-1)
    labels = torch.randint(4, (200,), generator=torch.Generator().manual_seed(1))
    expected = looped_calibration_error(probabilities, labels, bins)
    assert calibration_error(probabilities, labels, bins) == pytest.approx(expected, rel=1e-10)
    table = reliability_table(probabilities, labels, bins)
    looped = looped_bins(probabilities, labels, bins)
    for index, (row, (confidences, hits)) in enumerate(zip(table, looped, strict=True)):
        assert (row.low, row.high) == (index / bins, (index + 1) / bins)
        assert row.count == len(hits)
        if hits:
            assert row.mean_confidence == pytest.approx(statistics.fmean(confidences))
            assert row.accuracy == pytest.approx(sum(hits) / len(hits))
        else:
            assert row.mean_confidence is None
            assert row.accuracy is None
    assert sum(row.count for row in table) == 200


def test_fifteen_bins_by_default():
    """The usual number of bins; all images may lie in one of them."""
    table = reliability_table(two_classes(0.94, 0.95), torch.tensor([0, 0]))
    assert [row.count for row in table] == [0] * 14 + [2]
    assert calibration_error(two_classes(0.94, 0.95), torch.tensor([0, 0])) == pytest.approx(5.5)


def test_certain_and_right_is_calibrated():
    """A probability of exactly 1 is in the last bin."""
    probabilities = two_classes(1.0, 1.0)
    table = reliability_table(probabilities, torch.tensor([0, 0]))
    assert table[-1] == ReliabilityBin(14 / 15, 1.0, 2, 1.0, 1.0)
    assert calibration_error(probabilities, torch.tensor([0, 0])) == 0.0
    assert calibration_error(probabilities, torch.tensor([1, 1])) == 100.0


def test_a_probability_rounded_above_one_is_in_the_last_bin():
    """Softmax may round past 1 by a last digit."""
    probabilities = torch.tensor([[1.0000001, 0.0]])
    assert probabilities[0, 0] > 1
    assert reliability_table(probabilities, torch.tensor([0]))[-1].count == 1


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
@pytest.mark.parametrize("edge", [3, 4])
def test_an_edge_belongs_to_the_bin_below(dtype, edge):
    """Also where rounding puts a probability above the edge of float64, as 0.6 in float32."""
    probabilities = two_classes(edge / 5, dtype=dtype)
    table = reliability_table(probabilities, torch.tensor([0]), 5)
    assert [row.count for row in table].index(1) == edge - 1
    above = torch.nextafter(probabilities.float(), torch.tensor(2.0))
    if dtype == torch.float32:
        table = reliability_table(above, torch.tensor([0]), 5)
        assert [row.count for row in table].index(1) == edge


def test_the_first_of_equal_classes_is_the_prediction():
    """As in the accuracies of `mocoop.evaluate`."""
    assert calibration_error(two_classes(0.5), torch.tensor([0])) == 50.0
    (row,) = reliability_table(two_classes(0.5, 0.5), torch.tensor([0, 1]), 1)
    assert row == ReliabilityBin(0.0, 1.0, 2, 0.5, 0.5)


def test_calibration_refuses_what_is_no_probability():
    """Logits, rows of another sum, NaN, no image, whole numbers."""
    labels = torch.tensor([0])
    with pytest.raises(UserError, match=r"rows sum to 1; got values from -1 to 3.*softmax"):
        calibration_error(torch.tensor([[3.0, -1.0]]), labels)
    with pytest.raises(UserError, match=r"sums from 0\.8 to 0\.8"):
        calibration_error(torch.tensor([[0.5, 0.3]]), labels)
    with pytest.raises(UserError, match="Expected finite probabilities; got NaN"):
        calibration_error(torch.tensor([[math.nan, 1.0]]), labels)
    with pytest.raises(UserError, match=r"at least one row and column; got shape \(0, 2\)"):
        calibration_error(torch.zeros(0, 2), labels[:0])
    with pytest.raises(UserError, match=r"got shape \(2,\)"):
        calibration_error(torch.tensor([0.5, 0.5]), labels)
    with pytest.raises(UserError, match=r"in floating point; got torch\.int64"):
        calibration_error(torch.tensor([[1, 0]]), labels)


@pytest.mark.parametrize("bins", [0, -3])
def test_calibration_refuses_no_bins(bins):
    """There is at least one bin."""
    with pytest.raises(UserError, match=f"bins must be at least 1; got {bins}"):
        reliability_table(two_classes(0.7), torch.tensor([0]), bins)


def test_calibration_refuses_labels_that_do_not_fit():
    """One whole number per image, among the classes given."""
    probabilities = two_classes(0.7, 0.6)
    with pytest.raises(UserError, match=r"Expected 2 integer labels.*shape \(1,\)"):
        calibration_error(probabilities, torch.tensor([0]))
    for labels in (torch.tensor([0.0, 1.0]), torch.tensor([True, False])):
        with pytest.raises(UserError, match=f"integer labels.*{labels.dtype}"):
            calibration_error(probabilities, labels)
    with pytest.raises(UserError, match="labels from 0 to 1; got 1 to 2"):
        calibration_error(probabilities, torch.tensor([1, 2]))
    with pytest.raises(UserError, match="labels from 0 to 1; got -1 to 0"):
        calibration_error(probabilities, torch.tensor([-1, 0]))


# Routing


def test_routing_by_hand():
    """One undecided image and one decided as 3 to 1, of two experts."""
    scores = torch.tensor([[1.0, 1.0], [0.0, math.log(3.0)]])
    found = routing_measures(scores, torch.tensor([[0.5, 0.5], [0.0, 1.0]]))
    mixed = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert found.entropy == pytest.approx((math.log(2) + mixed) / 2)
    assert found.entropy_share == pytest.approx((1 + mixed / math.log(2)) / 2)
    assert found.usage == (0.25, 0.75)
    assert found.load_balance == pytest.approx(mixed / math.log(2))
    assert found.largest_load == 0.75
    assert found.unused == 0


@pytest.mark.parametrize("num_chosen", [1, 2, 6])
def test_routing_equals_the_loops(num_chosen):
    """All numbers are those of the plain loops, also with an expert that is hardly used."""
    scores = 2 * draw(80, 6)
    scores[:, 4] -= 6
    weights = top_weights(scores, num_chosen)
    found = routing_measures(scores, weights)
    numbers = (
        found.entropy,
        found.entropy_share,
        found.load_balance,
        found.largest_load,
        found.unused,
        *found.usage,
    )
    assert numbers == pytest.approx(looped_routing(scores, weights), rel=1e-6)
    assert found.unused == 1


def test_even_and_one_sided_use():
    """The ends of the scales: experts in turn, and always the same expert."""
    decided = 1000 * torch.eye(4)
    even = routing_measures(decided, torch.eye(4))
    assert (even.load_balance, even.largest_load, even.unused) == (1.0, 0.25, 0)
    assert (even.entropy, even.entropy_share) == (0.0, 0.0)
    one = torch.zeros(5, 4)
    one[:, 2] = 1.0
    same = routing_measures(torch.zeros(5, 4), one)
    assert (same.load_balance, same.largest_load, same.unused) == (0.0, 1.0, 3)
    assert same.entropy == pytest.approx(math.log(4))
    assert same.entropy_share == pytest.approx(1.0)
    assert same.entropy_share <= 1.0
    for zero in (even.entropy, even.entropy_share, same.load_balance):
        assert math.copysign(1.0, zero) == 1.0  # shown as 0.00, not as -0.00


def test_shares_stay_between_zero_and_one():
    """Weights may be rounded past 1 by a last digit."""
    found = routing_measures(torch.zeros(1, 2), torch.tensor([[1.0000001, 0.0]]))
    assert (found.load_balance, found.largest_load) == (0.0, 1.0)


def test_a_tenth_of_an_even_share_is_used():
    """Unused means less than that: 0.05 of two experts is not."""
    for share, unused in ((0.05, 0), (0.0499, 1)):
        weights = torch.tensor([[share, 1 - share]], dtype=torch.float64)
        assert routing_measures(torch.zeros(1, 2), weights).unused == unused


def test_one_expert_has_nothing_to_decide():
    """No entropy, even use and no NaN."""
    found = routing_measures(torch.zeros(3, 1), torch.ones(3, 1))
    assert (found.entropy, found.entropy_share, found.load_balance) == (0.0, 0.0, 1.0)
    assert (found.largest_load, found.unused, found.usage) == (1.0, 0, (1.0,))


def test_routing_refuses_what_does_not_fit():
    """Other shapes, scores in place of weights, scores that are not finite."""
    weights = torch.tensor([[0.5, 0.5]])
    with pytest.raises(
        UserError, match=r"scores and weights of the same .* \(2, 2\) and \(1, 2\)"
    ):
        routing_measures(torch.zeros(2, 2), weights)
    with pytest.raises(UserError, match="Expected weights from 0 to 1 whose rows sum to 1"):
        routing_measures(weights, torch.tensor([[2.0, -1.0]]))
    with pytest.raises(UserError, match="Expected finite scores; got NaN or infinity"):
        routing_measures(torch.tensor([[0.0, -math.inf]]), weights)


# Agreement with the guide


def test_guide_scores_by_hand():
    """The image feature with each expert's prototype of the true class."""
    features = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    prototypes = torch.tensor([[[0.0, 1.0], [0.6, 0.8]], [[1.0, 0.0], [0.8, 0.6]]])
    found = guide_scores(features, prototypes, torch.tensor([1, 0]))
    torch.testing.assert_close(found, torch.tensor([[0.6, 0.8], [1.0, 0.0]]))


def guide_inputs():
    """Returns image features (30, dim), prototypes (5, 3, dim) and labels (30,)."""
    features = F.normalize(draw(30, 8), dim=-1)
    prototypes = F.normalize(draw(5, 3, 8, seed=1), dim=-1)
    return features, prototypes, torch.arange(30) % 3


def test_guide_scores_equal_the_loops():
    """Image by image and expert by expert."""
    features, prototypes, labels = guide_inputs()
    rows = [
        [float(f @ group[y]) for group in prototypes]
        for f, y in zip(features, labels.tolist(), strict=True)
    ]
    torch.testing.assert_close(guide_scores(features, prototypes, labels), torch.tensor(rows))


def test_guide_scores_are_those_of_the_target():
    """Their softmax with the bonus is the gate's target, in the router and in the loops."""
    features, prototypes, labels = guide_inputs()
    scores = guide_scores(features, prototypes, labels)
    chosen = scores.topk(2, dim=-1).indices
    target = (scores + torch.zeros_like(scores).scatter(-1, chosen, GUIDE_BONUS)).softmax(dim=-1)
    torch.testing.assert_close(target, guide_target(scores, 2))
    torch.testing.assert_close(target, reference.guide_target(features, prototypes, labels, 2))


def test_agreement_by_hand():
    """Two of four experts chosen: both, one and none of the guide's, once the same best."""
    scores = torch.tensor([[4.0, 3, 2, 1], [4, 3, 2, 1], [4, 3, 2, 1]])
    guide = torch.tensor([[0.9, 0.8, 0.1, 0.2], [0.1, 0.8, 0.9, 0.2], [0.1, 0.2, 0.8, 0.9]])
    found = guide_agreement(scores, guide, 2)
    assert found.first == pytest.approx(100 / 3)
    assert found.overlap == pytest.approx(50.0)
    assert (found.expected_first, found.expected_overlap) == (25.0, 50.0)


@pytest.mark.parametrize("num_chosen", [1, 2, 4, 5])
def test_agreement_equals_the_loops(num_chosen):
    """Shares are those of the plain loops."""
    guide = guide_scores(*guide_inputs())
    scores = guide + 0.5 * draw(30, 5, seed=2)
    found = guide_agreement(scores, guide, num_chosen)
    expected = looped_agreement(scores, guide, num_chosen)
    assert (found.first, found.overlap) == pytest.approx(expected)
    assert found.expected_first == 20.0
    assert found.expected_overlap == pytest.approx(20.0 * num_chosen)


def test_agreement_with_itself_and_of_all_experts():
    """The guide agrees with itself; choosing all leaves no choice."""
    scores = draw(20, 5)
    same = guide_agreement(scores, 3 * scores + 1, 2)
    assert (same.first, same.overlap) == (100.0, 100.0)
    everyone = guide_agreement(scores, -scores, 5)
    assert (everyone.first, everyone.overlap, everyone.expected_overlap) == (0.0, 100.0, 100.0)


def test_choosing_at_random_gives_what_is_expected():
    """Independent scores come near the expected values."""
    found = guide_agreement(draw(20000, 6), draw(20000, 6, seed=1), 2)
    assert found.first == pytest.approx(found.expected_first, abs=1.0)
    assert found.overlap == pytest.approx(found.expected_overlap, abs=1.0)


def test_the_first_of_equal_experts_is_the_better():
    """Ties go to the expert named first, in gate and guide, at the K-th place too."""
    flat = torch.zeros(1, 40)  # long enough for an unstable sort to shuffle
    guide = torch.arange(40.0).neg()[None]
    assert guide_agreement(flat, guide, 3) == guide_agreement(guide, guide, 3)
    assert guide_agreement(guide.neg(), flat, 3).overlap == 0.0


def test_one_expert_always_agrees():
    """And chance would do as well."""
    found = guide_agreement(torch.zeros(4, 1), draw(4, 1), 1)
    assert (found.first, found.overlap) == (100.0, 100.0)
    assert (found.expected_first, found.expected_overlap) == (100.0, 100.0)


def test_agreement_refuses_what_does_not_fit():
    """Other shapes, and a number of experts that there is not."""
    with pytest.raises(UserError, match=r"scores and guide scores of the same .* \(2, 3\) and"):
        guide_agreement(torch.zeros(2, 3), torch.zeros(2, 4), 1)
    for num_chosen in (0, 4):
        with pytest.raises(UserError, match=f"from 1 to 3.*got {num_chosen}"):
            guide_agreement(torch.zeros(2, 3), torch.zeros(2, 3), num_chosen)


# Styles


def test_style_information_by_hand():
    """Own experts say all; experts that ignore the style say nothing."""
    styles = ["photo", "photo", "sketch", "sketch"]
    assert style_information(styles, [2, 2, 0, 0]) == pytest.approx(1.0)
    assert style_information(styles, [0, 1, 0, 1]) == pytest.approx(0.0)
    assert style_information(styles, [1, 1, 1, 1]) == 0.0
    # Entropies ln 2 and that of (1/4, 3/4); joint cells 1/4, 1/4 and 1/2.
    style_entropy, mixed = math.log(2), looped_entropy([0.25, 0.75])
    information = style_entropy + mixed - looped_entropy([0.25, 0.25, 0.5])
    expected = information / ((style_entropy + mixed) / 2)
    assert style_information(styles, [0, 1, 1, 1]) == pytest.approx(expected)


def test_style_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    for experts in (1, 2, 5):
        styles = rng.choice(["photo", "sketch", "dark"], 60).tolist()
        chosen = rng.integers(experts, size=60).tolist()
        expected = normalized_mutual_info_score(styles, chosen)
        assert style_information(styles, chosen) == pytest.approx(expected, abs=1e-12)


def test_style_information_is_that_of_evaluate():
    """The same number for the same images."""
    found = routed_items()
    styles = [item.style for item in found.items]
    first = found.routed.weights.argmax(dim=-1).tolist()
    value = style_information(styles, first)
    assert value is not None
    assert value == evaluate(found, "all").style_nmi


def test_style_information_is_unknown():
    """One unknown style is enough, and one style alone says nothing."""
    assert style_information(["photo", None, "sketch"], [0, 1, 1]) is None
    assert style_information(["photo", "photo"], [0, 1]) is None
    assert style_information([], []) is None


def test_style_information_refuses_other_lengths():
    """A style and an expert of every image."""
    with pytest.raises(UserError, match="got 2 styles and 1 experts"):
        style_information(["photo", "sketch"], [0])


# All


def test_measures_leave_their_arguments_alone():
    """Tensors with gradients are welcome, and unchanged afterwards."""
    scores = draw(6, 3).requires_grad_()
    weights = top_weights(scores, 2)
    kept, kept_weights = scores.detach().clone(), weights.detach().clone()
    measured = routing_measures(scores, weights)
    guide_agreement(scores, weights, 2)
    calibration_error(weights, torch.zeros(6, dtype=torch.long))
    assert torch.equal(scores, kept)
    assert torch.equal(weights, kept_weights)
    with pytest.raises(FrozenInstanceError):
        measured.entropy = 0.0


def test_examples_run():
    """The examples in the docstrings give what they say."""
    assert doctest.testmod(measures) == (0, 1)
