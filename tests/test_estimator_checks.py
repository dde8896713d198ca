"""scikit-learn's own checks of the estimator, as far as they apply to images.

The checks fit tables of numbers of any width, which stand for image features here: the CLIP
under test is a random one whose features are as wide as the table. It knows nothing of the
tables, so its tag says that its score is poor, which leaves out the one check of accuracy.
"""

from __future__ import annotations

import open_clip
import pytest
import torch
from sklearn.utils.estimator_checks import estimator_checks_generator

from mocoop.clip.backbone import make_backbone
from mocoop.estimator import MoCoOpClassifier
from tests.support.tiny import tiny_clip

LEFT_OUT = {
    "check_fit_score_takes_y": "fit's second argument is called labels and not y; it may be given "
    "by its place, as scikit-learn does everywhere else",
    "check_array_api_input": "it checks arrays of other libraries only where a variable of the "
    "environment asks for it, and else skips itself",
}


class OfAnyWidth(MoCoOpClassifier):
    """The estimator with a small random CLIP, as wide as the features that it was given."""

    def _load_backbone(self, name):
        model = tiny_clip(embed_dim=self.n_features_in_)
        return make_backbone(name, model, open_clip.SimpleTokenizer(), torch.device("cpu"))

    def __sklearn_tags__(self):
        tags = super().__sklearn_tags__()
        tags.classifier_tags.poor_score = True
        return tags


def name_of(check):
    """Returns the name of one of scikit-learn's checks."""
    return check.func.__name__


CASES = [
    (estimator, check)
    for method in (OfAnyWidth("mocoop", epochs=1), OfAnyWidth("tip-adapter"))
    for estimator, check in estimator_checks_generator(method)
]


@pytest.mark.parametrize(
    ("estimator", "check"),
    [case for case in CASES if name_of(case[1]) not in LEFT_OUT],
    ids=lambda value: value.method if isinstance(value, OfAnyWidth) else name_of(value),
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)


def test_what_is_left_out_is_checked_by_scikit_learn():
    """No check is left out that does not exist, and most of them are not left out."""
    names = {name_of(check) for _, check in CASES}
    assert LEFT_OUT.keys() <= names
    assert len(names) > 40
