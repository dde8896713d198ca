"""Linear probe and Tip-Adapter against scikit-learn, hand-computed values and plain loops."""

from __future__ import annotations

import dataclasses
import math
import time
import warnings

import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import load, save
from sklearn.linear_model import LogisticRegression

from mocoop.classifiers import linear_probe
from mocoop.classifiers.c_search import own_c, published_c
from mocoop.classifiers.linear_probe import (
    LinearProbe,
    ProbeClassifier,
    fit_linear_probe,
    linear_logits,
)
from mocoop.classifiers.tip_adapter import TipAdapter, fit_tip_adapter, tip_logits
from mocoop.classifiers.tip_search import OWN_SEARCH
from mocoop.errors import UserError
from tests.support import reference

SCALE = 20.0


@dataclasses.dataclass(frozen=True)
class Drawn:
    """Noisy images around one random feature per class; their texts are near them."""

    features: torch.Tensor
    labels: torch.Tensor
    val_features: torch.Tensor
    val_labels: torch.Tensor
    text_features: torch.Tensor

    def fields(self):
        return (self.features, self.labels, self.val_features, self.val_labels)


def draw(num_classes=4, shots=6, val_shots=4, dim=8, noise=0.8, seed=0):
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape):
        return torch.randn(*shape, generator=generator)

    centres = F.normalize(normal(num_classes, dim) + normal(dim), dim=-1)

    def around(count):
        labels = torch.arange(num_classes).repeat_interleave(count)
        noises = noise * normal(len(labels), dim) / math.sqrt(dim)
        return F.normalize(centres[labels] + noises, dim=-1), labels

    texts = F.normalize(centres + 0.5 * normal(num_classes, dim) / math.sqrt(dim), dim=-1)
    return Drawn(*around(shots), *around(val_shots), texts)


def probe_of(drawn, num_classes=4):
    return fit_linear_probe(*drawn.fields(), num_classes)


def adapter_of(drawn, fine_tune=False, seed=0, **settings):
    return fit_tip_adapter(
        *drawn.fields(),
        drawn.text_features,
        SCALE,
        fine_tune=fine_tune,
        generator=torch.Generator().manual_seed(seed),
        **settings,
    )


def accuracy(logits, labels):
    return (
        100.0
        * sum(int(row.argmax()) == int(y) for row, y in zip(logits, labels, strict=True))
        / len(labels)
    )


def same(first, second):
    """Whether two fitted methods are equal to the last bit."""
    a, b = first.to_tensors(), second.to_tensors()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def sklearn_probabilities(drawn, features, c):
    """Returns scikit-learn's own probabilities after a long search for the optimum."""
    model = LogisticRegression(C=c, max_iter=20000, tol=1e-10)
    model.fit(drawn.features.double().numpy(), drawn.labels.numpy())
    return torch.from_numpy(model.predict_proba(features.double().numpy())).float()


# --- linear probe ---


def test_linear_logits_by_hand():
    weight = torch.tensor([[1.0, 2.0], [3.0, -1.0]])
    logits = linear_logits(torch.tensor([[0.5, 1.0]]), weight, torch.tensor([10.0, 20.0]))
    torch.testing.assert_close(logits, torch.tensor([[12.5, 20.5]]))


@pytest.mark.parametrize("num_classes", [2, 4])
@pytest.mark.parametrize("seed", [0, 1])
def test_probe_equals_sklearn(num_classes, seed, monkeypatch):
    """At the chosen C, and also with two classes, where scikit-learn has one row."""
    monkeypatch.setattr(linear_probe, "PROBE_TOLERANCE", 1e-8)
    drawn = draw(num_classes, noise=1.5, seed=seed)
    probe = probe_of(drawn, num_classes)
    assert probe.weight.shape == (num_classes, 8)
    assert probe.bias.shape == (num_classes,)
    logits = linear_logits(drawn.val_features, probe.weight, probe.bias)
    expected = sklearn_probabilities(drawn, drawn.val_features, probe.inverse_regularization)
    torch.testing.assert_close(logits.softmax(dim=-1), expected, atol=1e-4, rtol=1e-3)


def test_tolerance_is_close_to_the_optimum():
    """The library's tolerance gives nearly the probabilities of the exact optimum."""
    drawn = draw(noise=1.5)
    probe = fit_linear_probe(*drawn.fields(), 4, search=lambda measure: 0.0 * measure(0.0))
    logits = linear_logits(drawn.val_features, probe.weight, probe.bias)
    expected = sklearn_probabilities(drawn, drawn.val_features, 1.0)
    torch.testing.assert_close(logits.softmax(dim=-1), expected, atol=2e-3, rtol=0)


def test_probe_is_the_optimum_of_its_objective(monkeypatch):
    """Zero gradient of C * summed cross-entropy + |weight|^2 / 2, intercepts free."""
    monkeypatch.setattr(linear_probe, "PROBE_TOLERANCE", 1e-8)
    drawn = draw(noise=1.5)
    probe = probe_of(drawn)
    weight, bias = (t.double().requires_grad_() for t in (probe.weight, probe.bias))
    logits = linear_logits(drawn.features.double(), weight, bias)
    loss = F.cross_entropy(logits, drawn.labels, reduction="sum")
    objective = loss + weight.square().sum() / (2 * probe.inverse_regularization)
    for gradient in torch.autograd.grad(objective, (weight, bias)):
        assert gradient.abs().max() < 1e-4


def test_many_classes_of_like_features_are_learnt():
    """Where scikit-learn's fixed tolerance is met by zero weights, the probe still learns."""
    drawn = draw(num_classes=300, shots=2, val_shots=1, dim=64, noise=0.5)
    # Image features of CLIP share a large common part; here it is a coordinate of its own.
    like, val_like = (
        F.normalize(F.pad(t, (0, 1), value=20.0), dim=-1)
        for t in (drawn.features, drawn.val_features)
    )
    stopped = LogisticRegression(C=1e4).fit(like.numpy(), drawn.labels.numpy())
    assert not stopped.coef_.any()
    weight, bias = linear_probe._logistic_regression(like, drawn.labels, 300, 1e4)
    assert accuracy(linear_logits(val_like, weight, bias), drawn.val_labels) > 90


def test_missing_class_keeps_the_others_in_place():
    drawn = draw(num_classes=4)
    kept = drawn.labels != 1
    cut = dataclasses.replace(drawn, features=drawn.features[kept], labels=drawn.labels[kept])
    probe = probe_of(cut)
    assert probe.weight.shape == (4, 8)
    assert not probe.weight[1].any()
    predicted = linear_logits(drawn.val_features, probe.weight, probe.bias).argmax(dim=-1)
    assert 1 not in predicted
    for label in (0, 2, 3):
        assert (predicted == label)[drawn.val_labels == label].float().mean() > 0.5
    full = linear_logits(drawn.val_features, probe.weight, probe.bias)
    assert full.isfinite().all()
    assert probe.val_accuracy <= 75.0
    # The same without a gap in the labels is the same classifier.
    closed = dataclasses.replace(cut, labels=cut.labels - (cut.labels > 1).long())
    weight, bias = linear_probe._logistic_regression(
        closed.features, closed.labels, 3, probe.inverse_regularization
    )
    torch.testing.assert_close(probe.weight[[0, 2, 3]], weight)
    torch.testing.assert_close(probe.bias[[0, 2, 3]], bias)


def test_two_of_three_classes():
    """Two rows from scikit-learn's one, at the right labels."""
    drawn = draw(num_classes=3)
    kept = drawn.labels != 0
    cut = dataclasses.replace(drawn, features=drawn.features[kept], labels=drawn.labels[kept])
    probe = probe_of(cut, 3)
    torch.testing.assert_close(probe.weight[1], -probe.weight[2])
    predicted = linear_logits(cut.features, probe.weight, probe.bias).argmax(dim=-1)
    assert (predicted == cut.labels).float().mean() > 0.9


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("search", [own_c, published_c])
def test_search_follows_the_rule(seed, search):
    """The values tried and the one chosen are those of the written-out search."""
    drawn = draw(noise=2.5, seed=seed)
    probe = fit_linear_probe(*drawn.fields(), 4, search)
    known = {}

    def score(c):
        if c not in known:
            weight, bias = linear_probe._logistic_regression(drawn.features, drawn.labels, 4, c)
            logits = linear_logits(drawn.val_features, weight, bias)
            known[c] = accuracy(logits, drawn.val_labels)
        return known[c]

    plain = reference.probe_peak if search is own_c else reference.coops_probe_peak
    tried, peak = plain(score)
    once = list(dict(tried).items())  # a C that is tried again is not fitted again
    torch.testing.assert_close(torch.tensor(probe.searched), torch.tensor(once))
    assert probe.inverse_regularization == pytest.approx(peak)
    best = max(value for _, value in probe.searched)
    assert probe.val_accuracy == best if search is own_c else probe.val_accuracy <= best
    logits = linear_logits(drawn.val_features, probe.weight, probe.bias)
    assert probe.val_accuracy == accuracy(logits, drawn.val_labels)


def test_of_equally_good_c_the_one_nearest_to_1_is_kept():
    drawn = draw(noise=0.05)
    probe = probe_of(drawn)
    assert probe.val_accuracy == 100.0
    assert len([c for c, value in probe.searched if value == 100.0]) > 1
    assert probe.inverse_regularization == 1.0


def test_a_strongly_regularised_probe_still_tells_classes_apart():
    """Its probabilities differ by less than single precision shows."""
    drawn = draw(noise=0.5)
    weight, bias = linear_probe._logistic_regression(drawn.features, drawn.labels, 4, 1e-9)
    names = ("a", "b", "c", "d")
    classifier = ProbeClassifier(names, ("prompt",), LinearProbe(weight, bias, 1e-9, 0.0))
    found = classifier.classify(drawn.val_features).probabilities.argmax(dim=-1)
    expected = linear_logits(drawn.val_features.double(), weight.double(), bias.double())
    assert torch.equal(found, expected.argmax(dim=-1))
    single = linear_logits(drawn.val_features, weight, bias).softmax(dim=-1).argmax(dim=-1)
    assert not torch.equal(found, single)


def test_probe_depends_on_its_arguments_alone():
    """Global generators change nothing; validation images choose C but are not learnt."""
    drawn = draw(noise=2.5)
    before = [t.clone() for t in drawn.fields()]
    first = probe_of(drawn)
    torch.manual_seed(123)
    assert same(first, probe_of(drawn))
    for tensor, copy in zip(drawn.fields(), before, strict=True):
        assert torch.equal(tensor, copy)
    shifted = dataclasses.replace(drawn, val_labels=(drawn.val_labels + 1) % 4)
    other = probe_of(shifted)
    assert other.val_accuracy < first.val_accuracy
    weight, bias = linear_probe._logistic_regression(
        drawn.features, drawn.labels, 4, other.inverse_regularization
    )
    assert torch.equal(other.weight, weight)
    assert torch.equal(other.bias, bias)


def test_probe_is_silent():
    """No warning of scikit-learn's comes through, also with one image per class."""
    drawn = draw(num_classes=20, shots=1, val_shots=1, noise=0.5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        probe = probe_of(drawn, 20)
    assert len(probe.bias) == 20


def test_probe_without_validation_images():
    drawn = draw()
    empty = dataclasses.replace(
        drawn, val_features=drawn.val_features[:0], val_labels=drawn.val_labels[:0]
    )
    with pytest.raises(UserError, match=r"validation images.*needs none: zero-shot.*tip-adapter"):
        probe_of(empty)


def test_probe_of_one_class():
    drawn = draw()
    one = dataclasses.replace(drawn, features=drawn.features[:6], labels=drawn.labels[:6])
    with pytest.raises(UserError, match="at least two classes, got 1"):
        probe_of(one)


def test_probe_is_fast_enough():
    """The whole search of the largest built-in set takes about a second, not a minute."""
    drawn = draw(num_classes=58, shots=16, dim=128, noise=3.0)
    started = time.perf_counter()
    probe_of(drawn, 58)
    assert time.perf_counter() - started < 30


# --- Tip-Adapter ---


def test_tip_logits_by_hand():
    """One image, one like key of class 1 and one at a right angle of class 0."""
    features = torch.tensor([[1.0, 0.0]])
    text_features = torch.tensor([[0.6, 0.8], [0.8, 0.6], [0.0, 1.0]])
    keys = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    values = torch.tensor([[0.0, 1.0, 0.0], [1.0, 0.0, 0.0]])
    logits = tip_logits(features, text_features, 10.0, keys, values, 3.0, 2.0)
    expected = torch.tensor([[6.0 + 3.0 * math.exp(-2.0), 8.0 + 3.0, 0.0]])
    torch.testing.assert_close(logits, expected)


def tip_example():
    drawn = draw(num_classes=3, shots=2, val_shots=2, dim=5)
    values = F.one_hot(drawn.labels, 3).double()
    keys = drawn.features.double() + 0.1
    return drawn.val_features.double(), drawn.text_features.double(), keys, values


def test_tip_logits_equal_the_loops():
    """Value and gradient with respect to the keys are those of the plain loops."""
    features, text_features, keys, values = tip_example()
    keys.requires_grad_()
    fast = tip_logits(features, text_features, SCALE, keys, values, 1.3, 4.0)
    slow = reference.tip_logits(features, text_features, SCALE, keys, values, 1.3, 4.0)
    torch.testing.assert_close(fast, slow)
    assert fast.shape == (6, 3)
    weights = torch.randn(6, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    (fast_gradient,) = torch.autograd.grad((weights * fast).sum(), keys)
    (slow_gradient,) = torch.autograd.grad((weights * slow).sum(), keys)
    torch.testing.assert_close(fast_gradient, slow_gradient)
    assert fast_gradient.abs().max() > 1e-3


def test_tip_logits_have_the_right_derivative():
    features, text_features, keys, values = tip_example()

    def logits(keys):
        return tip_logits(features, text_features, SCALE, keys, values, 1.3, 4.0)

    assert torch.autograd.gradcheck(logits, keys.requires_grad_())


@pytest.mark.parametrize("fine_tune", [False, True])
def test_tip_search_equals_the_loops(fine_tune):
    """Alpha and beta are those of the whole grid, also with trained keys."""
    drawn = draw(num_classes=3, shots=2, val_shots=4, dim=5, noise=2.0, seed=3)
    found = adapter_of(drawn, fine_tune, learning_rate=0.05)
    expected = reference.best_tip_mixture(
        drawn.val_features,
        drawn.val_labels,
        drawn.text_features,
        SCALE,
        found.keys,
        found.values,
        OWN_SEARCH.alphas,
        OWN_SEARCH.betas,
    )
    assert (found.val_accuracy, found.alpha, found.beta) == expected
    logits = tip_logits(
        drawn.val_features,
        drawn.text_features,
        SCALE,
        found.keys,
        found.values,
        found.alpha,
        found.beta,
    )
    assert found.val_accuracy == accuracy(logits, drawn.val_labels)


def test_grid_holds_the_defaults():
    """Our grid goes from 0.1 to 7 and 3, with the paper's values on it."""
    assert (OWN_SEARCH.betas[0], OWN_SEARCH.betas[-1]) == (0.1, 7.0)
    assert (OWN_SEARCH.alphas[0], OWN_SEARCH.alphas[-1]) == (0.1, 3.0)
    assert OWN_SEARCH.alpha in OWN_SEARCH.alphas
    assert OWN_SEARCH.beta in OWN_SEARCH.betas


def test_cache_is_the_training_images():
    drawn = draw()
    adapter = adapter_of(drawn)
    assert torch.equal(adapter.keys, drawn.features)
    assert torch.equal(adapter.values, torch.eye(4)[drawn.labels])


def test_text_may_cover_more_classes():
    """New classes have a zero-shot logit and no votes."""
    drawn = draw(num_classes=5)
    base = dataclasses.replace(
        drawn,
        features=drawn.features[drawn.labels < 3],
        labels=drawn.labels[drawn.labels < 3],
        val_features=drawn.val_features[drawn.val_labels < 3],
        val_labels=drawn.val_labels[drawn.val_labels < 3],
    )
    for fine_tune in (False, True):
        adapter = adapter_of(base, fine_tune)
        assert adapter.values.shape == (18, 5)
        assert not adapter.values[:, 3:].any()
        logits = tip_logits(
            drawn.val_features,
            drawn.text_features,
            SCALE,
            adapter.keys,
            adapter.values,
            adapter.alpha,
            adapter.beta,
        )
        zero_shot = SCALE * drawn.val_features @ drawn.text_features[3:].T
        torch.testing.assert_close(logits[:, 3:], zero_shot)


@pytest.mark.parametrize("fine_tune", [False, True])
def test_tip_without_validation_images(fine_tune):
    """The published values stand in for a search."""
    drawn = draw()
    empty = dataclasses.replace(
        drawn, val_features=drawn.val_features[:0], val_labels=drawn.val_labels[:0]
    )
    adapter = adapter_of(empty, fine_tune)
    assert (adapter.alpha, adapter.beta, adapter.val_accuracy) == (1.0, 5.5, None)
    assert torch.equal(adapter.keys, adapter_of(drawn, fine_tune).keys)


def test_fine_tuning_learns_keys_alone():
    """The training loss falls, and what was passed in stays exactly as it was."""
    drawn = draw(noise=2.0)
    before = [t.clone() for t in (*drawn.fields(), drawn.text_features)]
    plain, tuned = adapter_of(drawn), adapter_of(drawn, fine_tune=True, batch_size=10)

    def loss(keys):
        logits = tip_logits(
            drawn.features, drawn.text_features, SCALE, keys, plain.values, 1.0, 5.5
        )
        return F.cross_entropy(logits, drawn.labels).item()

    assert loss(tuned.keys) < loss(plain.keys) - 0.01
    assert not tuned.keys.requires_grad
    assert torch.equal(tuned.values, plain.values)
    for tensor, copy in zip((*drawn.fields(), drawn.text_features), before, strict=True):
        assert torch.equal(tensor, copy)
        assert not tensor.requires_grad


def test_first_step_is_adamw_by_hand():
    """One step of all images: decay by lr * 0.01, then lr * gradient / (|gradient| + eps)."""
    drawn = draw()
    tuned = adapter_of(drawn, fine_tune=True, epochs=1, learning_rate=0.01)
    keys = drawn.features.clone().requires_grad_()
    values = F.one_hot(drawn.labels, 4).float()
    logits = reference.tip_logits(
        drawn.features, drawn.text_features, SCALE, keys, values, 1.0, 5.5
    )
    loss = reference.classification_loss(logits, drawn.labels)
    (gradient,) = torch.autograd.grad(loss, keys)
    step = 0.01 * gradient / (gradient.abs() + 1e-4)
    torch.testing.assert_close(tuned.keys, drawn.features * (1 - 1e-4) - step)


def test_fine_tuning_works_without_gradients_outside():
    drawn = draw()
    with torch.no_grad():
        inside = adapter_of(drawn, fine_tune=True)
    assert same(inside, adapter_of(drawn, fine_tune=True))


def test_tip_depends_on_its_arguments_alone():
    """The generator draws the batches of fine-tuning, and nothing else does."""
    drawn = draw()
    first = adapter_of(drawn, fine_tune=True, batch_size=5)
    torch.manual_seed(123)
    assert same(first, adapter_of(drawn, fine_tune=True, batch_size=5))
    other = adapter_of(drawn, fine_tune=True, batch_size=5, seed=1)
    assert not torch.equal(first.keys, other.keys)
    assert same(adapter_of(drawn, seed=0), adapter_of(drawn, seed=1))
    shifted = dataclasses.replace(drawn, val_labels=(drawn.val_labels + 1) % 4)
    assert torch.equal(adapter_of(shifted, fine_tune=True, batch_size=5).keys, first.keys)


def test_fine_tuning_that_diverges():
    with pytest.raises(UserError, match=r"epoch 1, step 2\. Use a smaller learning rate"):
        adapter_of(draw(), fine_tune=True, batch_size=12, learning_rate=1e30)


# --- on disk ---


def test_probe_round_trip():
    probe = probe_of(draw(noise=2.5))
    found = LinearProbe.from_tensors(load(save(probe.to_tensors())))
    assert same(probe, found)
    assert found.searched == probe.searched
    assert found.inverse_regularization == probe.inverse_regularization
    assert found.val_accuracy == probe.val_accuracy


@pytest.mark.parametrize("val_accuracy", [None, 100 / 3])
def test_tip_round_trip(val_accuracy):
    adapter = dataclasses.replace(adapter_of(draw()), alpha=0.1, val_accuracy=val_accuracy)
    found = TipAdapter.from_tensors(load(save(adapter.to_tensors())))
    assert same(adapter, found)
    assert (found.alpha, found.beta) == (0.1, adapter.beta)
    assert found.val_accuracy == val_accuracy


def test_wrong_tensors():
    tensors = adapter_of(draw()).to_tensors()
    with pytest.raises(UserError, match="not the weights of a linear probe: weight, bias"):
        LinearProbe.from_tensors(tensors)
    del tensors["beta"]
    with pytest.raises(UserError, match="Tip-Adapter: beta missing, got alpha, keys"):
        TipAdapter.from_tensors(tensors)
