"""The image-feature cache: same content, same feature; other content, weights or view, another."""

from __future__ import annotations

import time
from dataclasses import replace

import pytest
import torch
from open_clip import OPENAI_DATASET_MEAN, OPENAI_DATASET_STD
from PIL import Image
from torchvision.transforms import (
    Compose,
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    RandomResizedCrop,
    ToTensor,
)

from mocoop.clip.backbone import make_backbone
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.features.cache import FeatureCache
from mocoop.features.encode import ImageEncoder, random_views, view_of
from tests.support.image_files import add_files, picture_bytes
from tests.support.tiny import tiny_clip


@pytest.fixture
def details():
    return load_dataset("details")


@pytest.fixture
def cache(tiny_backbone, tmp_path):
    return FeatureCache(tiny_backbone, tmp_path, batch_size=4)


def counting(monkeypatch, backbone):
    """Counts the images that go through the image tower."""
    seen = []
    encode = type(backbone).image_features
    monkeypatch.setattr(
        type(backbone), "image_features", lambda self, x: seen.append(len(x)) or encode(self, x)
    )
    return seen


def test_features_equal_the_tower_on_single_images(cache, details, tiny_backbone):
    items = details.items("train")[:6]
    features = cache.features(details, items)
    for item, feature in zip(items, features[:, 0], strict=True):
        alone = tiny_backbone.image_features(tiny_backbone.transform(details.image(item))[None])[0]
        torch.testing.assert_close(feature, alone)
        assert feature.norm().item() == pytest.approx(1.0, abs=1e-5)


def test_second_time_nothing_is_computed(cache, details, tiny_backbone, monkeypatch):
    items = details.items("train")[:6]
    first = cache.features(details, items)
    seen = counting(monkeypatch, tiny_backbone)
    again = FeatureCache(tiny_backbone, cache.folder.parent.parent).features(details, items)
    assert seen == []
    assert torch.equal(first, again)


def test_only_what_is_missing_is_computed(cache, details, tiny_backbone, monkeypatch):
    cache.features(details, details.items("train")[:4])
    seen = counting(monkeypatch, tiny_backbone)
    cache.features(details, details.items("train")[:7])
    assert sum(seen) == 3


def test_order_of_items_is_kept(cache, details):
    items = details.items("train")[:5]
    forward = cache.features(details, items)
    backward = cache.features(details, items[::-1])
    assert torch.equal(forward, backward.flip(0))


def test_other_weights_never_share_features(cache, details, tokenizer, tmp_path):
    other = make_backbone("other", tiny_clip(seed=5), tokenizer, torch.device("cpu"))
    items = details.items("train")[:2]
    theirs = FeatureCache(other, tmp_path).features(details, items)
    assert not torch.allclose(cache.features(details, items), theirs)


def test_views_depend_on_the_seed_alone_and_keep_the_centre_crop(cache, details, tmp_path):
    items = details.items("train")[:3]
    views = cache.features(details, items, views=3, seed=1)
    assert views.shape[:2] == (3, 3)
    assert torch.equal(views[:, :1], cache.features(details, items))
    assert not torch.allclose(views[:, 1], views[:, 2])
    fresh = FeatureCache(cache.backbone, tmp_path / "fresh").features(details, items, 3, 1)
    torch.testing.assert_close(fresh, views)
    assert not torch.allclose(cache.features(details, items, 3, 2)[:, 1:], views[:, 1:])


def test_view_leaves_the_global_generator_alone(tiny_backbone):
    image = Image.new("RGB", (40, 40))
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    view_of(tiny_backbone, image, 1, b"0123456789abcdef")
    assert torch.equal(torch.rand(1), expected)


def test_views_are_torchvisions_random_resized_crops(tiny_backbone, details):
    """View 0 is the centre crop; the next are drawn from the key, and nothing is cut after."""
    image = details.image(details.items("train")[0])
    key = b"0123456789abcdef"
    assert torch.equal(view_of(tiny_backbone, image, 0, key), tiny_backbone.transform(image))
    theirs = Compose(
        [
            RandomResizedCrop(32, (0.5, 1.0), interpolation=InterpolationMode.BICUBIC),
            RandomHorizontalFlip(),
            ToTensor(),
            Normalize(OPENAI_DATASET_MEAN, OPENAI_DATASET_STD),
        ]
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(int.from_bytes(key[:8], "little") % 2**63)
        expected = theirs(image)
    assert torch.equal(view_of(tiny_backbone, image, 1, key), expected)


def test_the_crops_scale_and_size_are_part_of_a_views_key(cache, details, monkeypatch):
    """Views drawn in another way are computed anew; centre crops stay."""
    items = details.items("train")[:2]
    first = cache.features(details, items, views=2)
    seen = counting(monkeypatch, cache.backbone)
    cache.features(details, items, views=2)
    assert sum(seen) == 0
    assert random_views(cache.backbone).key == (
        "random resized crop of scale (0.5, 1.0) to (32, 32), flip"
    )
    monkeypatch.setattr("mocoop.features.encode.VIEW_SCALE", (0.3, 1.0))
    other = cache.features(details, items, views=2)
    assert sum(seen) == 2
    assert torch.equal(first[:, 0], other[:, 0])
    assert not torch.allclose(first[:, 1], other[:, 1])


def test_damaged_shard_is_computed_again(cache, details):
    items = details.items("train")[:3]
    first = cache.features(details, items)
    (shard,) = cache.folder.glob("*.safetensors")
    shard.write_bytes(shard.read_bytes()[:50])
    assert torch.equal(cache.features(details, items), first)


def test_progress_counts_to_the_total(cache, details):
    calls = []
    cache.features(details, details.items("train")[:6], progress=lambda *call: calls.append(call))
    assert calls == [(4, 6), (6, 6)]


def test_changed_file_gets_a_new_feature(tiny_backbone, tmp_path):
    for name, colours in {"cat": ("red", "blue"), "dog": ("green", "white")}.items():
        (tmp_path / "set" / name).mkdir(parents=True)
        for index, colour in enumerate(colours * 2):
            image = Image.linear_gradient("L").convert("RGB")
            image.paste(colour, (0, 0, 128, 60 + 20 * index))
            image.save(tmp_path / "set" / name / f"{index}.png")
    dataset = load_dataset(str(tmp_path / "set"))
    cache = FeatureCache(tiny_backbone, tmp_path / "cache")
    items = dataset.items("train")
    before = cache.features(dataset, items)
    Image.new("RGB", (50, 50), "yellow").save(tmp_path / "set" / items[0].id)
    after = cache.features(dataset, items)
    assert not torch.allclose(before[0], after[0])
    assert torch.equal(before[1:], after[1:])


def write_pictures(folder, count=6):
    """Writes a folder of two classes and returns its data set."""
    for name in ("cat", "dog"):
        for number in range(count):
            add_files(folder, f"{name}/{number}.png")
    return load_dataset(str(folder))


def test_a_stopped_extraction_goes_on_where_it_was(tiny_backbone, details, tmp_path, monkeypatch):
    """Shards are written on the way: only what came after the last one is computed again."""
    monkeypatch.setattr("mocoop.features.cache.SHARD_ROWS", 8)
    items = details.items("train")[:20]

    def stop(done, total):
        if done >= 12:
            raise KeyboardInterrupt

    cache = FeatureCache(tiny_backbone, tmp_path, batch_size=4)
    with pytest.raises(KeyboardInterrupt):
        cache.features(details, items, progress=stop)
    seen = counting(monkeypatch, tiny_backbone)
    found = FeatureCache(tiny_backbone, tmp_path, batch_size=4).features(details, items)
    assert sum(seen) == 12
    alone = FeatureCache(tiny_backbone, tmp_path / "b", batch_size=4).features(details, items)
    torch.testing.assert_close(found, alone)


def test_workers_change_nothing(tiny_backbone, details, tmp_path):
    items = details.items("train")[:30]
    found = [
        FeatureCache(tiny_backbone, tmp_path / str(workers), 8, workers=workers).features(
            details, items, views=2
        )
        for workers in (0, 2)
    ]
    assert torch.equal(*found)


def test_several_batches_at_once_change_nothing(tiny_backbone, details, tmp_path, monkeypatch):
    items = details.items("train")[:30]
    found = []
    for several in (1, 2):
        monkeypatch.setattr(ImageEncoder, "_batches_at_once", lambda self, n=several: n)
        cache = FeatureCache(tiny_backbone, tmp_path / str(several), batch_size=7)
        found.append(cache.features(details, items))
    assert torch.equal(*found)
    assert not found[1].requires_grad


@pytest.mark.parametrize(("cores", "threads", "several"), [(2, 1, 2), (8, 7, 1), (16, 1, 2)])
def test_cores_that_torch_does_not_use_encode_another_batch(
    tiny_backbone, monkeypatch, cores, threads, several
):
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(cores)), raising=False)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    assert ImageEncoder(tiny_backbone)._batches_at_once() == several
    tuned = replace(tiny_backbone, image_overrides={"ln_pre.weight": torch.ones(1)})
    assert ImageEncoder(tuned)._batches_at_once() == 1


def test_unreadable_images_are_counted_and_named(tiny_backbone, tmp_path, monkeypatch):
    """All others are computed and kept; after leaving those out the rest is found again."""
    data = write_pictures(tmp_path / "set")
    items = data.items("train")
    for item in items[:4]:
        (tmp_path / "set" / item.id).write_text("no picture")
    (tmp_path / "set" / items[4].id).unlink()
    cache = FeatureCache(tiny_backbone, tmp_path / "cache")
    message = r"5 images of set cannot be read: .*; and 2 more\. Fix .*data check .*/set --skip"
    with pytest.raises(UserError, match=message):
        cache.features(data, items)
    seen = counting(monkeypatch, tiny_backbone)
    assert len(cache.features(data, items[5:])) == len(items) - 5
    assert seen == []


def test_files_are_read_again_only_when_they_changed(tiny_backbone, tmp_path, monkeypatch):
    """Size and times say whether; a file written just now is not trusted yet."""
    data = write_pictures(tmp_path / "set")
    items = data.items("train")
    read = []
    content_key = type(data).content_key
    monkeypatch.setattr(
        type(data), "content_key", lambda self, i: read.append(i.id) or content_key(self, i)
    )
    cache = lambda: FeatureCache(tiny_backbone, tmp_path / "cache")
    first = cache().features(data, items)
    cache().features(data, items)
    assert len(read) == 2 * len(items)  # written within the last two seconds
    later = time.time() + 60
    monkeypatch.setattr("mocoop.features.content_keys.time.time", lambda: later)
    cache().features(data, items)
    read.clear()
    assert torch.equal(cache().features(data, items), first)
    assert read == []
    (tmp_path / "set" / items[0].id).write_bytes(picture_bytes("another picture"))
    second = cache().features(data, items)
    assert read == [items[0].id]
    assert not torch.equal(second[0], first[0])
    assert torch.equal(second[1:], first[1:])


def test_lower_precision_has_features_of_its_own(tiny_backbone, details, tmp_path):
    items = details.items("train")[:6]
    plain = FeatureCache(tiny_backbone, tmp_path).features(details, items)
    lower = FeatureCache(tiny_backbone, tmp_path, precision=torch.bfloat16)
    found = lower.features(details, items)
    assert found.dtype == torch.float32
    assert not torch.equal(found, plain)
    torch.testing.assert_close(found, plain, rtol=0, atol=2e-2)
    assert torch.equal(FeatureCache(tiny_backbone, tmp_path).features(details, items), plain)


def test_a_cache_that_cannot_be_written_to(tiny_backbone, details, tmp_path):
    (tmp_path / "file").write_text("x")
    cache = FeatureCache(tiny_backbone, tmp_path / "file")
    with pytest.raises(UserError, match=r"Nothing can be written to the cache .*set MOCOOP_CACHE"):
        cache.features(details, details.items("train")[:2])


def test_without_keeping_nothing_is_written_and_nothing_computed_twice(
    tiny_backbone, details, tmp_path, monkeypatch
):
    cache = FeatureCache(tiny_backbone, tmp_path / "none", keep=False)
    first = cache.features(details, details.items("train")[:5])
    seen = counting(monkeypatch, tiny_backbone)
    assert torch.equal(cache.features(details, details.items("train")[:5]), first)
    assert seen == []
    assert not (tmp_path / "none").exists()
