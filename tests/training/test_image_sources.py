"""Where image features come from: cached and live ones agree, and crops are repeatable."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest
import torch
from torch import nn

from mocoop.clip.random_crop import RandomCrop
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.model.build import build_model
from mocoop.model.hard_prompts import group_prototypes, hard_features
from mocoop.model.vision_prompts import tuned_backbone
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from mocoop.training.image_sources import CROP_SCALE, CachedImages, LiveImages, Prefetcher
from mocoop.training.prepare import prepare, training_data
from tests.support import method_cases as cases
from tests.support.tiny_data import picture_folder, tiny_checkpoint

LIVE = {"image_cache": False}


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Settings that name a small folder of pictures and a tiny CLIP."""
    root = tmp_path_factory.mktemp("live")
    return {
        "data": picture_folder(root / "pictures"),
        "backbone": tiny_checkpoint(root / "clip"),
        "groups": cases.TEMPLATES,
        "shots": 2,
    }


def image_sides(config, cache_folder):
    """Returns prepared ingredients, an untrained model and the training data."""
    prepared = prepare(config)
    backbone = prepared.backbone
    hard = hard_features(backbone.text, prepared.groups, prepared.dataset.class_names)
    model = build_model(config, backbone, prepared.groups, torch.Generator().manual_seed(1))
    cache = FeatureCache(backbone, cache_folder)
    return prepared, model, training_data(prepared, hard, group_prototypes(hard), cache)


def settings(folders, method="coop", **changes):
    """Returns a preset on the small folder."""
    return replace(preset(method), **(folders | changes))


@pytest.mark.parametrize("method", ["coop", "lasp-ln"])
def test_live_images_are_the_cached_ones(folders, tmp_path, method, generator):
    """Without crops both give the features of the centre crops, whatever the batch."""
    _, cached_model, cached = image_sides(settings(folders), tmp_path)
    prepared, live_model, live = image_sides(settings(folders, method, **LIVE), tmp_path)
    assert isinstance(cached.train, CachedImages)
    assert isinstance(live.train, LiveImages)
    assert (len(live.train), len(live.val)) == (len(cached.train), len(cached.val)) == (6, 6)
    chosen = torch.tensor([4, 0, 3])
    for split in ("train", "val"):
        ours, theirs = getattr(live, split), getattr(cached, split)
        torch.testing.assert_close(ours.plain(live_model), theirs.plain(cached_model))
        batch = ours.batch(live_model, chosen, 1, generator)
        torch.testing.assert_close(batch, theirs.batch(cached_model, chosen, 1, generator))
    backbone, dataset = prepared.backbone, prepared.dataset
    picture = backbone.transform(dataset.image(prepared.train_items[4]))
    alone = backbone.image_features(picture[None])[0]
    torch.testing.assert_close(live.train.plain(live_model)[4], alone)
    assert torch.equal(live.train_labels, cached.train_labels)


def test_live_features_reach_the_layer_norms(folders, tmp_path, generator):
    """A training batch has gradients to the LayerNorms, and the plain features have none."""
    _, model, data = image_sides(settings(folders, "lasp-ln"), tmp_path)
    features = data.train.batch(model, torch.tensor([0, 1]), 1, generator)
    gradients = torch.autograd.grad(features[0, 0], list(model.norms.parameters()))
    assert all(gradient.abs().max() > 0 for gradient in gradients)
    assert not data.train.plain(model).requires_grad
    before = data.train.plain(model)
    with torch.no_grad():
        for value in model.norms.parameters():
            value.mul_(1.5)
    assert (data.train.plain(model) - before).abs().max() > 1e-3


class Pictures(LiveImages):
    """Live images whose features are the pixels themselves."""

    @classmethod
    def of(cls, folders, **changes):
        prepared = prepare(settings(folders))
        load = lambda place: prepared.dataset.image(prepared.train_items[place])
        tower, transform = nn.Flatten(), prepared.backbone.transform
        crop = RandomCrop.from_settings(prepared.backbone.preprocess, CROP_SCALE)
        made = cls(tower, load, 6, transform, torch.device("cpu"), crop, seed=3)
        return replace(made, **changes)


@pytest.fixture(scope="module")
def plain_model(folders):
    """A model that leaves the image tower as it is."""
    prepared = prepare(settings(folders))
    generator = torch.Generator().manual_seed(1)
    return build_model(prepared.config, prepared.backbone, prepared.groups, generator)


def crops(images, model, epoch, batch_size=6):
    """Returns the pixels (images, values) of an epoch, in the order of the images."""
    generator = torch.Generator().manual_seed(epoch)  # crops must not depend on it
    parts = [
        images.batch(model, chosen, epoch, generator)
        for chosen in torch.arange(len(images)).split(batch_size)
    ]
    return torch.cat(parts)


def test_crops_are_the_same_whatever_the_batches(folders, plain_model):
    """One by one, in pairs and in another order, an epoch's crop of an image is the same."""
    images = Pictures.of(folders)
    together = crops(images, plain_model, 1)
    assert torch.equal(together, crops(images, plain_model, 1, batch_size=1))
    assert torch.equal(together, crops(images, plain_model, 1, batch_size=4))
    backward = torch.arange(5, -1, -1)
    found = images.batch(plain_model, backward, 1, torch.Generator())
    assert torch.equal(found, together.flip(0))


def test_crops_differ_between_epochs_images_and_seeds_and_repeat_otherwise(folders, plain_model):
    """What draws a crop is the seed, the epoch and the image's place."""
    images = Pictures.of(folders)
    first = crops(images, plain_model, 1)
    torch.manual_seed(99)
    assert torch.equal(first, crops(Pictures.of(folders), plain_model, 1))
    for other in (
        crops(images, plain_model, 2),
        crops(replace(images, seed=4), plain_model, 1),
        images.plain(plain_model),
    ):
        assert all(not torch.equal(one, two) for one, two in zip(first, other, strict=True))


def test_crops_are_those_of_the_drawn_boxes(folders, plain_model):
    """A picture of an epoch is CoOp's random crop, drawn from seed, epoch and place."""
    images = Pictures.of(folders)
    state = torch.random.get_rng_state()
    found = crops(images, plain_model, 2)
    assert torch.equal(state, torch.random.get_rng_state())
    for place in range(6):
        pixels = images.crop(images.load(place), images._crop_seed(place, 2)).flatten()
        torch.testing.assert_close(found[place], pixels / pixels.norm())
    assert images.crop.scale == CROP_SCALE == (0.08, 1.0)
    draws = {images._crop_seed(place, epoch) for place in range(6) for epoch in range(20)}
    assert len(draws) == 120


def test_no_crops_without_asking(folders, plain_model):
    """Training batches are centre crops, and so is what the accuracy is measured on."""
    drawn = Pictures.of(folders)
    images = replace(drawn, crop=None)
    plain = images.plain(plain_model)
    assert torch.equal(crops(images, plain_model, 1), plain)
    assert torch.equal(replace(drawn, chunk=2).plain(plain_model), plain)
    assert torch.equal(replace(images, chunk=4).plain(plain_model), plain)


def test_transformed_pictures_are_kept_up_to_a_size(folders, plain_model, monkeypatch):
    """A picture is read once, unless all of them would take too much memory."""
    images = Pictures.of(folders, crop=None)
    read = []
    load = images.load
    images = replace(images, load=lambda place: read.append(place) or load(place))
    first = images.plain(plain_model)
    assert torch.equal(first, images.plain(plain_model))
    assert read == [0, 1, 2, 3, 4, 5]
    monkeypatch.setattr("mocoop.training.image_sources._MAX_CACHE_BYTES", 100)
    assert torch.equal(first, replace(images).plain(plain_model))
    replace(images).plain(plain_model)
    assert len(read) == 18


def test_cached_views_are_drawn_from_the_generator(generator):
    """A step takes one view of each image; the accuracy is that of the centre crops."""
    features = torch.arange(24.0).view(4, 3, 2)
    images = CachedImages(features)
    chosen = torch.tensor([3, 0])
    seen = {tuple(images.batch(None, chosen, 1, generator)[0].tolist()) for _ in range(40)}
    assert seen == {tuple(view.tolist()) for view in features[3]}
    assert torch.equal(images.plain(None), features[:, 0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"tune_layer_norms": True},
         r"tune_layer_norms changes the image features in every step.*turn image_cache off"),
        ({"augment": "crops"},
         r"augment crops changes the image features.*cached views instead of random crops"),
        ({"image_cache": False, "views": 4},
         r"views is 4, but views are cached features.*Use augment crops, or turn the cache on"),
        ({"image_cache": False, "tune_layer_norms": True, "views": 2}, r"views is 2"),
    ],
)  # fmt: skip
def test_what_would_be_inexact_is_refused(changes, message):
    """Cached features of a tower that changes, and views without a cache."""
    with pytest.raises(UserError, match=message):
        TrainConfig(**changes)


def test_a_run_with_crops_and_layer_norms_is_tested_with_them(folders, tmp_path, workspace):
    """The results of a run are those of the tuned tower on centre crops, kept in no cache.

    Only what the untrained prompt is compared on comes from the tower as it was, and is kept.
    """
    config = settings(folders, "lasp-ln", augment="crops", epochs=2, learning_rate=0.05)
    cache = tmp_path / "cache"
    list(run_experiment(config, tmp_path / "run", cache))
    run = Run(tmp_path / "run")
    prepared, model, _ = image_sides(config, tmp_path)
    model.load_state_dict(run.weights())
    dataset, backbone = prepared.dataset, prepared.backbone
    hits = []
    for item in dataset.items("test"):
        picture = backbone.transform(dataset.image(item))[None]
        with torch.no_grad():
            feature = model.image_features(backbone.model.visual, picture)[0]
        logits = run.features().last[0] @ feature
        hits.append(int(logits.argmax()) == item.label)
    assert run.results()["all"]["accuracy"] == pytest.approx(100 * sum(hits) / len(hits))
    tuned = tuned_backbone(backbone, run.setup().config, run.weights())
    untouched, touched = (FeatureCache(one, cache) for one in (backbone, tuned))
    assert list(untouched.folder.rglob("*.safetensors"))
    assert not list(touched.folder.rglob("*"))


def test_expected_pictures_are_loaded_meanwhile(folders, tmp_path, generator):
    """The next step's pictures are loaded in the background, and are the same pictures."""
    config = settings(folders, "lasp-ln", augment="crops", **LIVE)
    _, model, live = image_sides(config, tmp_path)
    images = live.train
    steps = [(torch.tensor([3, 0]), 1), (torch.tensor([1, 2, 4]), 1), (torch.tensor([3, 0]), 2)]
    alone = [images.batch(model, chosen, epoch, generator) for chosen, epoch in steps]
    for order in ([0, 1, 2], [2, 1, 0]):
        for index in order:
            images.prefetch(*steps[index])
        for index, (chosen, epoch) in enumerate(steps):
            assert torch.equal(images.batch(model, chosen, epoch, generator), alone[index])
    assert not torch.equal(alone[0], alone[2])
    loaded = threading.Event()
    main_thread = threading.current_thread()

    def load(place):
        assert threading.current_thread() is not main_thread
        loaded.set()
        return images.load(place)

    watched = replace(images, load=load, prefetcher=Prefetcher())
    watched.prefetch(*steps[0])
    assert loaded.wait(10)  # nobody has asked for the batch yet


def test_errors_of_the_background_are_raised(folders, tmp_path, generator):
    """A picture that cannot be loaded is told by the step that needs it."""
    _, model, live = image_sides(settings(folders, "lasp-ln", **LIVE), tmp_path)

    def load(place):
        raise UserError("cut short")

    broken = replace(live.train, load=load, prefetcher=Prefetcher())
    broken.prefetch(torch.tensor([0]), 1)
    with pytest.raises(UserError, match="cut short"):
        broken.batch(model, torch.tensor([0]), 1, generator)
