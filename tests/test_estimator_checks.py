"""scikit-learn's own checks of the estimator, as far as they apply to images.

The checks fit tables of numbers of any width, which stand for image features here: the CLIP
under test is a random one whose features are as wide as the table. It knows nothing of the
tables, so its tag says that its score is poor, which leaves out the one check of accuracy.
"""

from __future__ import annotations

import open_clip
import torch
from sklearn.utils.estimator_checks import parametrize_with_checks
from tiny import tiny_clip

from mocoop.backbone import make_backbone
from mocoop.estimator import MoCoOpClassifier

LEFT_OUT = {
    "check_fit_score_takes_y": "fit's second argument is called labels and not y; as everywhere "
    "in scikit-learn it may be given by its place",
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


def left_out(estimator):
    """Returns the checks that do not apply, with the reason."""
    return LEFT_OUT


@parametrize_with_checks(
    [OfAnyWidth(epochs=2), OfAnyWidth("coop", epochs=2), OfAnyWidth("tip-adapter")],
    expected_failed_checks=left_out,
)
def test_scikit_learn_conventions(estimator, check):
    check(estimator)
