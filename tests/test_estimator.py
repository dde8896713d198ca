"""The estimator: the run that `mocoop train` makes, from images of any kind."""

from __future__ import annotations

import gc
import pickle
import shutil
from dataclasses import replace
from pathlib import Path

import joblib
import numpy as np
import pytest
import torch
from PIL import Image
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.model_selection import GridSearchCV, cross_val_score

from app.compare.tables import run_row
from mocoop.classifiers.saved import open_classifier, run_backbone
from mocoop.clip.backbone import load_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.estimator import MoCoOpClassifier
from mocoop.features.cache import FeatureCache
from mocoop.presets import preset
from mocoop.results.gather import Gathered, gather
from mocoop.runs.export_zip import write_archive
from mocoop.runs.import_zip import read_archive
from mocoop.runs.model_card import model_card
from mocoop.runs.run import Run
from mocoop.storage.atomic import lock_file
from mocoop.training.experiment import run_experiment
from tests.support.tiny_data import picture_folder, tiny_checkpoint

GROUPS = {"photo": ("a photo of a {}.",), "art": ("art of the {}.",), "toy": ("a toy {}.",)}
NAMES = ["blue bird", "green leaf", "red cup"]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A folder with 9 training, 6 validation and 6 test images of three classes."""
    return Path(picture_folder(tmp_path_factory.mktemp("data") / "shapes"))


@pytest.fixture(scope="module")
def clip(tmp_path_factory):
    """A checkpoint of the tiny CLIP."""
    return tiny_checkpoint(tmp_path_factory.mktemp("clip") / "tiny")


def split(data, name):
    """Returns the paths of a split's images in the order of the folder, and their labels."""
    paths = sorted((data / name).glob("*/*.png"))
    return paths, [path.parent.name for path in paths]


def classifier(clip, method="mocoop", **values):
    """Returns an estimator whose fit takes a moment."""
    trained = method not in ("zero-shot", "ensemble", "linear-probe", "tip-adapter")
    some = {"epochs": 2} if trained else {}
    return MoCoOpClassifier(method, clip, **some | {"random_state": 3} | values)


@pytest.fixture(scope="module")
def fitted(workspace, clip, data):
    """An estimator that is fitted to all training images; tests must not change it."""
    return classifier(clip, groups=GROUPS).fit(*split(data, "train"))


def probabilities_of(run, dataset, items):
    """Returns what a run says of a data set's images."""
    seen = run_backbone(run)
    features = FeatureCache(seen, keep=False).features(dataset, items)[:, 0]
    return open_classifier(run, loaded=load_backbone(run.setup().config.backbone)).classify(
        features
    )


@pytest.mark.parametrize(
    "method", ["mocoop", "coop", "cocoop", "mocoop-ln", "linear-probe", "tip-adapter-f"]
)
def test_it_is_the_run_that_the_library_trains(workspace, clip, data, tmp_path, method):
    """The same images, settings and seed: the same weights and the same answers, to the bit."""
    config = replace(preset(method, clip), data=str(data), shots=2, seed=3)
    if config.epochs:
        config = replace(config, epochs=2)
    for _ in run_experiment(config, tmp_path / "run"):
        pass
    run, dataset = Run(tmp_path / "run"), load_dataset(str(data))
    images = split(data, "val")
    estimator = classifier(clip, method, shots=2).fit(*split(data, "train"), *images)
    assert estimator.run_.setup().class_names == run.setup().class_names == tuple(NAMES)
    weights = run.weights()
    assert weights.keys() == estimator.run_.weights().keys()
    for name, value in estimator.run_.weights().items():
        assert torch.equal(value, weights[name]), name
    routed = probabilities_of(run, dataset, dataset.items("test"))
    paths = [data / item.id for item in dataset.items("test")]
    assert np.array_equal(estimator.predict_proba(paths), routed.probabilities.float().numpy())
    assert np.array_equal(estimator.routing(paths).to_numpy(), routed.weights.numpy())
    expected = [NAMES[label] for label in routed.probabilities.argmax(dim=-1)]
    assert estimator.predict(paths).tolist() == expected


def test_every_kind_of_image_gives_the_same(fitted, clip, data):
    paths, labels = split(data, "test")
    pictures = [Image.open(path) for path in paths]
    arrays = [np.asarray(Image.open(path)) for path in paths]
    backbone = load_backbone(clip)
    batch = torch.stack([backbone.transform(Image.open(path)) for path in paths])
    features = backbone.image_features(batch).numpy()
    expected = fitted.predict_proba(paths)
    for images in (list(map(str, paths)), np.array(paths), pictures, arrays, np.stack(arrays)):
        # The last bit of a product may differ between two calls; another pixel would change more.
        np.testing.assert_allclose(fitted.predict_proba(images), expected, rtol=0, atol=1e-6)
    for images in (features, features.tolist(), 7.0 * features, torch.from_numpy(features)):
        np.testing.assert_allclose(fitted.predict_proba(images), expected, atol=1e-5)
    assert fitted.score(pictures, labels) == fitted.score(paths, labels)


def test_features_train_as_their_pictures_do(fitted, clip, data):
    paths, labels = split(data, "train")
    backbone = load_backbone(clip)
    batch = torch.stack([backbone.transform(Image.open(path)) for path in paths])
    features = backbone.image_features(batch).numpy()
    estimator = classifier(clip, groups=GROUPS).fit(features, labels)
    assert estimator.n_features_in_ == 16
    assert not hasattr(fitted, "n_features_in_")
    test = split(data, "test")[0]
    np.testing.assert_allclose(
        estimator.predict_proba(test), fitted.predict_proba(test), atol=1e-4
    )
    estimator.fit(paths, labels)
    assert not hasattr(estimator, "n_features_in_")


def test_grey_transparent_and_wide_pictures_are_seen_as_rgb(fitted):
    pixels = np.random.default_rng(0).integers(0, 256, (30, 50), dtype=np.uint8)
    opaque = np.dstack([pixels, pixels, pixels, np.full_like(pixels, 255)])
    clear = np.dstack([pixels, pixels, pixels, np.zeros_like(pixels)])
    white = np.full((30, 50, 3), 255, np.uint8)
    same = fitted.predict_proba([pixels, pixels[:, :, None], opaque, Image.fromarray(pixels)])
    assert np.ptp(same, axis=0).max() < 1e-6
    np.testing.assert_allclose(*fitted.predict_proba([clear, white]), atol=1e-6)


def test_labels_name_the_classes(workspace, clip, data):
    paths, labels = split(data, "train")
    numbers = np.array([NAMES.index(label) for label in labels])

    def names_of(labels, class_names=None):
        estimator = classifier(clip, "zero-shot", class_names=class_names).fit(paths, labels)
        assert set(estimator.predict(paths)) <= set(estimator.classes_)
        assert estimator.run_.setup().class_names == estimator.class_names_
        return estimator.class_names_

    assert names_of(numbers) == ("0", "1", "2")
    assert names_of(numbers.astype(float)) == ("0", "1", "2")
    assert names_of(numbers, NAMES) == tuple(NAMES)
    assert names_of(numbers + 5, {5: "a_bird", 6: "aLeaf", 7: "cup"}) == ("a bird", "aLeaf", "cup")
    assert names_of([f"00{number}.GreenFrog{number}" for number in numbers])[1] == "green frog1"
    with pytest.raises(ValueError, match="no name for the class 2"):
        names_of(numbers, NAMES[:2])
    with pytest.raises(ValueError, match="class_names must be a dict label → name"):
        names_of(numbers, "bird")
    with pytest.raises(ValueError, match="the same name"):
        names_of([f"red{'_ '[n % 2]}cup" for n in range(9)])


def test_routing_is_a_table(fitted, data):
    paths = split(data, "test")[0]
    table = fitted.routing(paths)
    assert table.index.tolist() == list(map(str, paths))
    assert table.columns.tolist() == fitted.experts_.tolist() == list(GROUPS)
    np.testing.assert_allclose(table.sum(axis=1), 1, atol=1e-6)
    assert ((table > 0).sum(axis=1) == 2).all()
    by_place = fitted.routing([Image.open(path) for path in paths])
    assert by_place.index.tolist() == [f"images[{i}]" for i in range(6)]


def test_pickles_and_clones(workspace, clip, data, tmp_path):
    paths = split(data, "test")[0]
    estimator = classifier(clip, groups=GROUPS).fit(*split(data, "train"))
    expected, folder = estimator.predict_proba(paths), estimator.run_.path
    joblib.dump(estimator, tmp_path / "estimator.joblib")
    pickled = pickle.dumps(estimator)
    unfitted = clone(estimator)
    assert unfitted.get_params() == estimator.get_params()
    with pytest.raises(NotFittedError):
        unfitted.predict(paths)
    assert folder.is_dir()
    lock = lock_file(folder.parent)
    assert lock.exists()
    del estimator
    gc.collect()
    # It lives as long as the estimator.
    assert not folder.exists()
    assert not lock.exists()
    for restored in (pickle.loads(pickled), joblib.load(tmp_path / "estimator.joblib")):
        assert np.array_equal(restored.predict_proba(paths), expected)
        restored.run_.require_finished()
        assert restored.run_.path != folder
    assert len(pickled) < 500_000


def test_the_run_may_lie_in_a_folder_of_its_own(workspace, clip, data, tmp_path):
    images = split(data, "train")
    estimator = classifier(clip, run=tmp_path / "mine").fit(*images)
    assert estimator.run_.path == tmp_path / "mine"
    with pytest.raises(ValueError, match="holds a run already"):
        estimator.fit(*images)
    again = pickle.loads(pickle.dumps(estimator))
    assert again.run_.path == tmp_path / "mine"
    del estimator, again
    gc.collect()
    Run(tmp_path / "mine").require_finished()
    with pytest.raises(UserError, match="images that a program passed to"):
        load_dataset(Run(tmp_path / "mine").setup().config.data)


def test_a_pickle_answers_with_its_own_run_whatever_its_folder_holds_now(
    workspace, clip, data, tmp_path
):
    images, labels = split(data, "train")
    path = tmp_path / "mine"
    estimator = classifier(clip, run=path).fit(images, labels)
    expected, pickled = estimator.predict_proba(images), pickle.dumps(estimator)
    shutil.rmtree(path)
    other = classifier(clip, run=path, learning_rate=5.0).fit(images, labels[::-1])
    assert not np.array_equal(other.predict_proba(images), expected)
    again = pickle.loads(pickled)
    assert np.array_equal(again.predict_proba(images), expected)
    assert again.run_.path != path
    assert pickle.loads(pickle.dumps(other)).run_.path == path


def test_random_state_is_scikit_learns(workspace, clip, data):
    images = split(data, "train")

    def seed(value):
        estimator = classifier(clip, "zero-shot", random_state=value).fit(*images)
        return estimator.run_.setup().config.seed

    assert seed(np.int64(5)) == 5
    assert seed(np.random.RandomState(0)) == seed(np.random.RandomState(0))
    state = np.random.RandomState(0)
    assert seed(state) != seed(state)
    assert seed(None) != seed(None)


def test_it_is_searched_and_cross_validated(workspace, clip, data):
    images, labels = split(data, "train")
    scores = cross_val_score(classifier(clip), images, labels, cv=3)
    assert scores.shape == (3,)
    grid = {"epochs": np.array([1, 2]), "num_chosen": [1, 2], "groups": [GROUPS]}
    search = GridSearchCV(classifier(clip), grid, cv=3).fit(images, labels)
    assert search.best_params_["epochs"] in (1, 2)
    assert search.predict(images).shape == (9,)


def test_validation_images_are_set_aside(workspace, clip, data):
    images, labels = split(data, "train")
    with pytest.raises(ValueError, match="validation image"):
        classifier(clip, "linear-probe").fit(images, labels)
    probe = classifier(clip, "linear-probe", val_shots=1).fit(images, labels)
    assert probe.run_.results()["training_images"] == 6
    with pytest.raises(ValueError, match=r"val_shots is 3.*smallest class has 3 images"):
        classifier(clip, "linear-probe", val_shots=3).fit(images, labels)


def test_settings_are_those_of_the_library(workspace, clip, data):
    images = split(data, "train")
    estimator = classifier(clip, learning_rate=0.01, settings={"batch_size": 4}).fit(*images)
    config = estimator.run_.setup().config
    expected = replace(preset("mocoop", clip), epochs=2, learning_rate=0.01, batch_size=4)
    changed = {"data", "shots", "seed", "groups", "precision"}
    own, usual = config.to_dict(), expected.to_dict()
    assert {name for name in own if own[name] != usual[name]} <= changed
    assert config.shots == 3
    for values, words in (
        ({"settings": {"batchsize": 4}}, "Did you mean 'batch_size'"),
        ({"settings": {"seed": 4}}, "settings cannot hold 'seed'"),
        ({"settings": [4]}, "name → value"),
        ({"method": "moco"}, "Did you mean"),
        ({"groups": "scene"}, "Did you mean 'scenes'"),
        ({"groups": GROUPS, "num_chosen": 4}, "only 3 experts"),
        ({"shots": 2.5}, "shots expects int"),
        ({"backbone": "nothing"}, "nothing"),
    ):
        with pytest.raises(ValueError, match=words):
            classifier(clip).set_params(**values).fit(*images)


def test_what_cannot_be_learnt_from_is_refused_in_words(fitted, clip, data, tmp_path):
    images, labels = split(data, "train")
    empty, text = tmp_path / "empty.png", tmp_path / "text.png"
    empty.touch()
    text.write_text("no image")
    broken = [empty, *images[1:4], text, *images[5:]]
    new = classifier(clip)
    for given, said, words in (
        (images[:8], labels, "got 8 images and 9 labels"),
        (images[:3], labels[:3], "at least two classes; got one class"),
        (images, None, "y"),
        (images, np.linspace(0, 1, 9), "Unknown label type"),
        (images[0], labels, r"must be a list of pictures; got one PosixPath.*\[picture\]"),
        (np.ones((9, 7)), labels, "16 wide; got 7"),
        (np.full((9, 16), np.nan), labels, "NaN"),
        ([], [], "images is empty: expected at least one picture"),
        (np.zeros((5, 6, 3), np.uint8), labels, "looks like one picture"),
        ([np.zeros((5, 6, 3))] * 9, labels, r"images\[0\]: expected a uint8 array.*got float64"),
        ([*images[:8], 3], labels, r"1 of 9 images.*images\[8\]: expected a path"),
        ([Image.new("RGB", (0, 5))] * 9, labels, "the image is empty: 0 × 5 pixels"),
        (broken, labels, r"2 of 9 images cannot be read: .*empty\.png.*; .*text\.png"),
        ([*images[:8], tmp_path / "none.png"], labels, r"none\.png: .*[Nn]o such file"),
    ):
        with pytest.raises(ValueError, match=words):
            clone(new).fit(given, said)
    with pytest.raises(ValueError, match=r"2 of 9 images.*empty\.png.*; .*text\.png"):
        classifier(clip, "mocoop-ln").fit(broken, labels)
    with pytest.raises(ValueError, match="mocoop-ln encodes the pictures"):
        classifier(clip, "mocoop-ln").fit(np.eye(9, 16), labels)
    with pytest.raises(ValueError, match="views is 2"):
        classifier(clip, settings={"views": 2}).fit(np.eye(9, 16), labels)
    with pytest.raises(ValueError, match="class 'fish', which has no training image"):
        clone(new).fit(images, labels, images[:1], ["fish"])
    with pytest.raises(ValueError, match="both be pictures or both be features"):
        clone(new).fit(images, labels, np.eye(9, 16), labels)
    with pytest.raises(ValueError, match="Give both"):
        clone(new).fit(images, labels, val_labels=labels)


def test_what_cannot_be_classified_is_refused_in_words(fitted, clip, data, tmp_path):
    paths = split(data, "test")[0]
    for method in ("predict", "predict_proba", "routing"):
        with pytest.raises(NotFittedError, match="not fitted yet"):
            getattr(classifier(clip), method)(paths)
    with pytest.raises(ValueError, match="16 wide; got 7"):
        fitted.predict(np.ones((2, 7)))
    with pytest.raises(ValueError, match=r"1 of 7 images cannot be read: .*none\.png"):
        fitted.predict([*paths, tmp_path / "none.png"])
    other = pickle.loads(pickle.dumps(fitted))
    (other.run_.path / "features.safetensors").write_bytes(b"")
    with pytest.raises(ValueError, match=r"features\.safetensors is damaged"):
        other.predict(paths)


def test_a_run_without_test_images_is_listed_packed_and_unpacked(fitted, data, tmp_path):
    """It has no accuracy, and no table of results has a row of it."""
    run = fitted.run_
    assert run.results().keys() == {"training_seconds", "training_images", "val_is_test"}
    row = run_row(run, run.name)
    assert (row["state"], row["settings"]) == ("finished", "epochs 2")
    assert gather([run]) == Gathered((), (), ())
    write_archive(run, tmp_path / "run.zip")
    assert "It was not tested" in model_card(run, "a-run")
    unpacked = read_archive(tmp_path / "run.zip", tmp_path / "runs")
    assert unpacked.weights().keys() == run.weights().keys()
