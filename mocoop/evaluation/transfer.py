"""A trained run on another data set: the same prompts around other class names."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from mocoop.classifiers.assemble import classifier_of_features, classifier_of_model
from mocoop.classifiers.base import Classifier
from mocoop.classifiers.saved import open_classifier, restore_model, run_encoder
from mocoop.clip.backbone import Backbone
from mocoop.datasets.base import Dataset
from mocoop.errors import UserError
from mocoop.evaluation.evaluate import Evaluation, evaluate, route_items
from mocoop.features.cache import FeatureCache, Progress
from mocoop.method_record import TEMPLATES
from mocoop.methods import METHODS
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.runs.run import Run, RunSetup
from mocoop.runs.status import read_values
from mocoop.storage.atomic import write_json


def evaluate_on(run: Run, dataset: Dataset, cache: FeatureCache | None = None) -> dict[str, Any]:
    """Returns a run's results on the test images of another data set, kept with the run.

    Args:
        run: a finished run.
        dataset: where it is tested; its own class names take the place of the run's.
        cache: image features of the run's backbone; a usual one by default.

    Raises:
        UserError: for a method that cannot leave its own classes.
    """
    known = saved_evaluation(run, dataset.name)
    if known is not None:
        return known
    results = asdict(measure_on(run, dataset, cache=cache))
    write_json(run.path / _file(dataset.name), results)
    return results


def measure_on(
    run: Run,
    dataset: Dataset,
    choice: str = "all",
    cache: FeatureCache | None = None,
    progress: Progress | None = None,
) -> Evaluation:
    """Returns a run's results on the test images of another data set; nothing is kept.

    Args:
        run: a finished run.
        dataset: where it is tested; its own class names take the place of the run's.
        choice: all, or the base or new half of the data set's classes.
        cache: image features of the run's backbone; a usual one by default.
        progress: called while image features are computed.

    Raises:
        UserError: for a run that is not finished, a method that cannot leave its own classes, or
            classes without test images.
    """
    run.require_finished()
    setup = run.setup()
    encoder = run_encoder(run, None if cache is None else cache.backbone)
    if cache is None or setup.config.tune_layer_norms:
        keep = not setup.config.tune_layer_norms
        cache = FeatureCache(encoder.backbone, keep=keep, precision=encoder.precision)
    classifier = classifier_for(run, setup, dataset, encoder.backbone)
    return evaluate(route_items(classifier, dataset, cache, choice, progress=progress), choice)


def saved_evaluation(run: Run, name: str) -> dict[str, Any] | None:
    """Returns the results on the data set of this name that are kept with a run, if any."""
    return read_values(run.path, _file(name)) if (run.path / _file(name)).exists() else None


def _file(name: str) -> str:
    return f"transfer-{name}.json"


def classifier_for(run: Run, setup: RunSetup, dataset: Dataset, backbone: Backbone) -> Classifier:
    """Returns a run's classifier of the classes of another data set."""
    names, config = dataset.class_names, setup.config
    method = METHODS[config.method]
    if config.class_context or method.own_classes_only:
        return _among_known(run, setup, dataset)
    if method.classifier == TEMPLATES:
        soft = group_prototypes(hard_features(backbone.text, setup.groups, names)).cpu()
        return classifier_of_features(setup, soft, {}, names)
    model = restore_model(setup, run.weights(), backbone)
    return classifier_of_model(setup, model, backbone.text, names)


def _among_known(run: Run, setup: RunSetup, dataset: Dataset) -> Classifier:
    """Returns the run's own classifier, cut to a data set whose classes it knows."""
    if dataset.class_names == setup.class_names:  # the same order, so equal names do no harm
        return open_classifier(run)
    known = {name: label for label, name in enumerate(setup.class_names)}
    if len(known) < len(setup.class_names):
        raise UserError(
            f"{setup.config.data} has two classes of one name, so that {setup.config.method} "
            "cannot tell which of them another data set means. Leave this method out."
        )
    new = [name for name in dataset.class_names if name not in known]
    if new:
        raise UserError(
            f"{setup.config.method} knows only the classes of {setup.config.data}, and "
            f"{dataset.name} has others ({', '.join(new[:3])} ...). Leave this method "
            "out, or take one whose prompts fit any name, such as coop or mocoop."
        )
    labels = [known[name] for name in dataset.class_names]
    return open_classifier(run).only(labels)
