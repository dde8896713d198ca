"""Loading a CLIP: local folders, open_clip's names, and what is refused with which advice."""

from __future__ import annotations

import json
import logging
import threading
import warnings

import open_clip
import pytest
import torch
from open_clip.model import CLIP
from PIL import Image
from safetensors.torch import save_file

from mocoop.clip.backbone import check_backbone_name, choose_device, load_backbone, make_backbone
from mocoop.clip.quiet import quiet
from mocoop.clip.text_tower import TextTower
from mocoop.errors import UserError, UserNote
from mocoop.older import same_clip
from tests.support.tiny import TINY_CONFIG, tiny_clip, tiny_config

ARCHITECTURE = "Tiny-Test"
PREPROCESS = {
    "size": [32, 32],
    "mode": "RGB",
    "interpolation": "bicubic",
    "resize_mode": "shortest",
    "mean": [0.5, 0.4, 0.3],
    "std": [0.2, 0.3, 0.4],
}


def half_weights(model):
    """Returns a model's weights in half precision."""
    return {name: value.half().contiguous() for name, value in model.state_dict().items()}


@pytest.fixture
def folder(tmp_path):
    """A folder with a tiny CLIP's configuration and half-precision weights."""
    path = tmp_path / "clip"
    path.mkdir()
    config = {"model_cfg": TINY_CONFIG, "preprocess_cfg": PREPROCESS}
    (path / "open_clip_config.json").write_text(json.dumps(config))
    save_file(half_weights(tiny_clip()), path / "open_clip_model.safetensors")
    return path


@pytest.fixture
def architecture(monkeypatch):
    """Makes the tiny CLIP an architecture that open_clip knows by name."""
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, ARCHITECTURE, TINY_CONFIG)
    return ARCHITECTURE


def test_one_text_tower_per_backbone(tokenizer, monkeypatch):
    """The tower and the weights that it cast stay; its memory is the variable's at first use."""
    monkeypatch.setenv("MOCOOP_TEXT_MEMORY", "1.5")
    backbone = make_backbone("tiny", tiny_clip(), tokenizer, torch.device("cpu"))
    tower = backbone.text
    assert backbone.text is tower
    assert tower.memory == 3 * 2**29
    half = tower.blocks.weights(torch.bfloat16)
    assert backbone.text.blocks.weights(torch.bfloat16) is half
    other = make_backbone("tiny", tiny_clip(), tokenizer, torch.device("cpu"))
    assert other.text is not tower


def test_folder_round_trip(folder, tokenizer):
    """A local checkpoint gives the weights that were saved, frozen and in fp32."""
    backbone = load_backbone(str(folder))
    saved = half_weights(tiny_clip())
    loaded = backbone.model.state_dict()
    assert loaded.keys() == saved.keys()
    for name, value in saved.items():
        assert loaded[name].dtype == torch.float32
        assert torch.equal(loaded[name], value.float()), name
    assert not backbone.model.training
    assert not any(p.requires_grad for p in backbone.model.parameters())
    assert backbone.name == str(folder)
    assert backbone.text.context_length == 77
    assert backbone.logit_scale == pytest.approx(1 / 0.07, rel=1e-3)
    tokens = tokenizer(["a photo of a cat."])
    assert torch.equal(backbone.tokenizer(["a photo of a cat."]), tokens)


def test_folder_transform_and_features(folder):
    """Pictures are normalised as the configuration says; features have length one."""
    backbone = load_backbone(str(folder))
    image = backbone.transform(Image.new("RGB", (40, 60), (255, 0, 0)))
    assert image.shape == (3, 32, 32)
    expected = torch.tensor([(1 - 0.5) / 0.2, -0.4 / 0.3, -0.3 / 0.4])
    torch.testing.assert_close(image.mean(dim=(1, 2)), expected)
    features = backbone.image_features(torch.stack([image, -image]))
    assert features.shape == (2, 16)
    assert not features.requires_grad
    torch.testing.assert_close(features.norm(dim=1), torch.ones(2))
    expected = backbone.model.encode_image(torch.stack([image, -image]), normalize=True)
    torch.testing.assert_close(features, expected)


def test_loading_keeps_log_levels(folder):
    """Loading is silent, and leaves the log as it was."""
    logger = logging.getLogger()
    level = logger.level
    load_backbone(str(folder))
    assert logger.level == level


def test_two_threads_that_load_leave_the_log_as_it_was(caplog):
    """Only the messages of the thread that loads are hidden, and only while it loads."""
    began, ends = threading.Event(), threading.Event()

    def load():
        with quiet():
            began.set()
            ends.wait(10)

    with caplog.at_level(logging.INFO):
        thread = threading.Thread(target=load)
        with quiet():
            thread.start()
            began.wait(10)
            logging.warning("of open_clip")
        logging.warning("of the server")
        ends.set()
        thread.join()
        logging.info("later")
    assert [record.message for record in caplog.records] == ["of the server", "later"]


def test_fingerprint_follows_weights_and_transform(tokenizer):
    """The same model has the same fingerprint; another weight or transform another one."""
    cpu = torch.device("cpu")
    own = make_backbone("a", tiny_clip(), tokenizer, cpu).fingerprint
    assert make_backbone("b", tiny_clip(), tokenizer, cpu).fingerprint == own
    moved = tiny_clip()
    moved.visual.conv1.weight.data[0, 0, 0, 0] += 1e-3
    assert make_backbone("a", moved, tokenizer, cpu).fingerprint != own
    shifted = tiny_clip()
    shifted.visual.image_mean = (0.1, 0.2, 0.3)
    assert make_backbone("a", shifted, tokenizer, cpu).fingerprint != own


@pytest.mark.parametrize(
    "changes",
    [
        {"quick_gelu": True},
        {"vision_cfg": TINY_CONFIG["vision_cfg"] | {"head_width": 8}},
        {"vision_cfg": TINY_CONFIG["vision_cfg"] | {"norm_kwargs": {"eps": 1e-2}}},
        {"vision_cfg": TINY_CONFIG["vision_cfg"] | {"pool_type": "avg"}},
    ],
    ids=["QuickGELU", "heads", "LayerNorm", "pool"],
)
def test_the_same_weights_used_otherwise_have_another_fingerprint(tokenizer, changes):
    """Features would differ, and the cache of features must not take them for the same."""
    cpu, pictures = torch.device("cpu"), torch.linspace(-2, 2, 3 * 32 * 32).view(1, 3, 32, 32)
    plain = make_backbone("a", tiny_clip(), tokenizer, cpu)
    model = CLIP(**TINY_CONFIG | changes).eval()
    model.load_state_dict(plain.model.state_dict())
    other = make_backbone("a", model, tokenizer, cpu)
    assert not torch.equal(plain.image_features(pictures), other.image_features(pictures))
    assert plain.fingerprint != other.fingerprint


def test_runs_of_earlier_versions_know_weights_and_transform_alone():
    """They still open with their CLIP; a run of today does not open with another activation."""
    assert same_clip("a1", "a1")
    assert same_clip("a1", "a1-quick")
    assert not same_clip("a1", "a1-quick", older=False)
    assert not same_clip("a1", "a12")
    assert not same_clip("a1-quick", "a1")


def test_folder_without_config(folder):
    """The configuration must be there."""
    (folder / "open_clip_config.json").unlink()
    with pytest.raises(UserError, match=r"no open_clip_config\.json, and.*one \.safetensors file"):
        load_backbone(str(folder))


def test_folder_without_weights(folder):
    """The weights must be there."""
    (folder / "open_clip_model.safetensors").unlink()
    with pytest.raises(UserError, match=r"needs weights in a \.safetensors file.*found none"):
        load_backbone(str(folder))


@pytest.mark.parametrize("name", ["open_clip_pytorch_model.bin", "model.pt", "model.pth"])
def test_pickled_weights(folder, name):
    """Weights in a pickle are loaded if it holds nothing but tensors."""
    expected = load_backbone(str(folder)).fingerprint
    (folder / "open_clip_model.safetensors").unlink()
    torch.save(half_weights(tiny_clip()), folder / name)
    assert load_backbone(str(folder)).fingerprint == expected
    torch.save(tiny_clip(), folder / name)
    with pytest.raises(UserError, match=r"does not load: .*pickled objects .*not opened"):
        load_backbone(str(folder))


def test_pickled_weights_beside_safe_ones(folder):
    """Where both kinds are there the safe one is loaded, whatever it is called."""
    safe = folder / "open_clip_model.safetensors"
    safe.rename(folder / "weights.safetensors")
    torch.save(half_weights(tiny_clip(seed=5)), folder / "open_clip_pytorch_model.bin")
    backbone = load_backbone(str(folder))
    expected = half_weights(tiny_clip())["token_embedding.weight"].float()
    assert torch.equal(backbone.model.token_embedding.weight, expected)


def test_several_weights(folder):
    """Of several files the usual name is loaded; without it the choice is not guessed."""
    usual = folder / "open_clip_model.safetensors"
    save_file(half_weights(tiny_clip(seed=5)), folder / "a.safetensors")
    expected = half_weights(tiny_clip())["token_embedding.weight"].float()
    loaded = load_backbone(str(folder)).model.token_embedding.weight
    assert torch.equal(loaded, expected)
    usual.rename(folder / "b.safetensors")
    with pytest.raises(UserError, match=r"found 2 of them.*Rename the right one to"):
        load_backbone(str(folder))


@pytest.mark.parametrize(
    ("model_cfg", "message"),
    [
        (tiny_config(layers=3), r"transformer\.resblocks\.2\.ln_1\.weight is missing"),
        (tiny_config(width=64), r"does not load.*belong together"),
        (tiny_config(heads=3), r"does not load.*divisible"),
        (tiny_config(no_such_setting=1), r"does not load.*no_such_setting"),
        ({"embed_dim": 16}, r"does not load.*text_cfg"),
        (5, r"does not load"),
        (None, r"does not load: it has no key model_cfg"),
    ],
)  # fmt: skip
def test_config_that_does_not_fit(folder, model_cfg, message):
    """A configuration for other weights is refused."""
    config = {"preprocess_cfg": PREPROCESS}
    if model_cfg is not None:
        config["model_cfg"] = model_cfg
    (folder / "open_clip_config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=message):
        load_backbone(str(folder))


@pytest.mark.parametrize("text", ["{", "", "[]", "3"])
def test_config_that_is_no_object(folder, text):
    """A configuration that is not JSON, or not an object, is refused."""
    (folder / "open_clip_config.json").write_text(text)
    with pytest.raises(UserError, match=r"does not load.*belong together"):
        load_backbone(str(folder))


@pytest.mark.parametrize("content", [b"", b"version https://git-lfs.github.com/spec/v1"])
def test_damaged_weights(folder, architecture, content):
    """A weights file that is empty or only a pointer is refused."""
    weights = folder / "open_clip_model.safetensors"
    weights.write_bytes(content)
    with pytest.raises(UserError, match=r"does not load.*cut off.*Check that"):
        load_backbone(str(folder))
    with pytest.raises(UserError, match=r"is cut off, or no file of weights.*download it again"):
        load_backbone(f"{architecture}/{weights}")


def test_a_file_beside_its_configuration(folder):
    """It is the same as its folder."""
    alone = load_backbone(str(folder / "open_clip_model.safetensors"))
    assert alone.fingerprint == load_backbone(str(folder)).fingerprint


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("ViT-B-61/openai", r"Unknown backbone 'ViT-B-61/openai'.* Did you mean 'ViT-B-16"),
        ("dmeo", r"Unknown backbone 'dmeo'.* Did you mean 'demo'\?"),
        ("qqqqqqqq", r"Unknown backbone 'qqqqqqqq': expected 'demo'.*, or hf-hub:OWNER/NAME\.$"),
        ("no/such/folder", r"Unknown backbone 'no/such/folder'.*a checkpoint folder, or"),
        ("ViT-B-32", r"'ViT-B-32' needs weights after a slash.*laion2b_s34b_b79k.*got none"),
        ("ViT-B-32/w.pt", r"No such weights file: w\.pt"),
        ("ViT-B-32/opnai", r"Unknown weights tag for ViT-B-32 'opnai'.*Did you mean 'openai'\?"),
        ("ViT-B-32/no.safetensors", r"No such weights file: no\.safetensors.*ViT-B-32/"),
        ("ViT-B-16/openai", r"QuickGELU.*Use ViT-B-16-quickgelu/openai\."),
        ("ViT-B-32/metaclip_400m", r"Use ViT-B-32-quickgelu/metaclip_400m\."),
    ],
)  # fmt: skip
def test_names_that_are_refused(name, message):
    """Each wrong name says what would be right."""
    with pytest.raises(UserError, match=message):
        load_backbone(name)


def mismatches():
    """Returns all of open_clip's pairs whose activations differ, with what weights want."""
    found = []
    for architecture, tag in open_clip.list_pretrained():
        config = open_clip.factory.get_model_config(architecture)
        wanted = open_clip.get_pretrained_cfg(architecture, tag).get("quick_gelu", False)
        if bool(config.get("quick_gelu", False)) != bool(wanted):
            found.append((architecture, tag, bool(wanted)))
    return found


@pytest.mark.parametrize(("architecture", "tag", "quick"), mismatches())
def test_activation_mismatch(architecture, tag, quick):
    """Every pair of open_clip that would lose accuracy is refused; the hint, if any, is right."""
    with pytest.raises(
        UserError, match=r"were trained with (QuickGELU|plain GELU), which"
    ) as info:
        load_backbone(f"{architecture}/{tag}")
    hint = str(info.value).partition(" Use ")[2].rstrip(".")
    if hint:
        better, _, same_tag = hint.partition("/")
        assert same_tag == tag
        config = open_clip.factory.get_model_config(better)
        assert bool(config.get("quick_gelu", False)) == quick
        assert tag in open_clip.list_pretrained_tags_by_model(better)
    else:
        assert "Choose other weights" in str(info.value)


def test_activation_mismatch_the_other_way(monkeypatch):
    """Weights for plain GELU are refused by an architecture with QuickGELU."""
    monkeypatch.setattr(open_clip, "get_pretrained_cfg", lambda model, tag: {"url": "none"})
    with pytest.raises(UserError, match=r"'laion2b' were trained with plain GELU, which .*"
                                        r"Use ViT-B-16/laion2b\."):  # fmt: skip
        load_backbone("ViT-B-16-quickgelu/laion2b")


@pytest.mark.parametrize("name", ["ViT-B-16-quickgelu/openai", "ViT-B-32/laion2b_s34b_b79k"])
def test_no_network(name):
    """Weights that cannot be fetched point to the built-in demo."""
    with pytest.raises(UserError, match=rf"The weights {name} are not on this machine and could "
                                        r"not be downloaded.*use backbone 'demo'"):  # fmt: skip
        load_backbone(name)


def test_local_file_of_a_known_architecture(folder, architecture):
    """ARCHITECTURE/FILE loads local weights."""
    weights = folder / "open_clip_model.safetensors"
    backbone = load_backbone(f"{architecture}/{weights}")
    expected = half_weights(tiny_clip())["token_embedding.weight"].float()
    assert torch.equal(backbone.model.token_embedding.weight, expected)


def test_a_file_under_a_name_with_a_quickgelu_twin(folder, architecture, monkeypatch):
    """Weights do not say their activation, so that the name that was chosen is told."""
    file = folder / "open_clip_model.safetensors"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_backbone(f"{architecture}/{file}")
    twin = f"{architecture}-quickgelu"
    ask = rf"To measure it: mocoop backbone check {file} --name {architecture}\."
    config = TINY_CONFIG | {"quick_gelu": True}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, twin, config)
    with pytest.warns(
        UserNote, match=rf"as Tiny-Test, with plain GELU.*use {twin}/{file}\. {ask}$"
    ):
        plain = load_backbone(f"{architecture}/{file}")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        quick = load_backbone(f"{twin}/{file}")
    pictures = torch.randn(2, 3, 32, 32, generator=torch.Generator().manual_seed(1))
    apart = (plain.image_features(pictures) - quick.image_features(pictures)).abs().max()
    assert apart > 1e-4


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("ViT-B/16", "ViT-B-16"),
        ("ViT-B/32", "ViT-B-32"),
        ("ViT-L/14", "ViT-L-14"),
        ("ViT-B/16/openai", "ViT-B-16"),
        ("ViT-L/14@336px", "ViT-L-14-336"),
        ("ViT-B-61/openai", "ViT-B-16"),
    ],
)
def test_names_as_openai_writes_them(name, meant):
    with pytest.raises(UserError, match=f"Did you mean '{meant}'\\?$"):
        check_backbone_name(name)


def test_local_file_in_the_home_folder(folder, architecture, monkeypatch):
    """A path may begin with a tilde."""
    monkeypatch.setenv("HOME", str(folder))
    backbone = load_backbone(f"{architecture}/~/open_clip_model.safetensors")
    assert isinstance(backbone.text, TextTower)


def test_local_file_of_another_architecture(folder, architecture):
    """Weights of another architecture are refused by its name."""
    weights = folder / "other.safetensors"
    save_file(half_weights(tiny_clip(layers=3)), weights)
    with pytest.raises(
        UserError, match=r"other\.safetensors does not fit Tiny-Test: transformer.* not known"
    ):
        load_backbone(f"{architecture}/{weights}")


def test_devices():
    """A device must exist here."""
    assert choose_device("cpu") == torch.device("cpu")
    assert choose_device("auto").type in ("cpu", "cuda")
    for name in ("gpu", "cuda:77", ""):
        with pytest.raises(UserError, match=f"Device '{name}' cannot be used here. Expected 'a"):
            choose_device(name)


def test_demo_backbone(demo_backbone):
    """The CLIP that ships with the project loads without a network, and takes soft prompts."""
    assert demo_backbone.name == "demo"
    assert demo_backbone.text.shares_prefixes
    image = demo_backbone.transform(Image.new("RGB", (64, 64), (10, 200, 30)))
    features = demo_backbone.image_features(image[None])
    torch.testing.assert_close(features.norm(dim=1), torch.ones(1))


def test_missing_demo(monkeypatch, tmp_path):
    """A checkout without the demo CLIP says how to get it."""
    monkeypatch.setattr("mocoop.clip.backbone.asset", lambda name: tmp_path / name)
    with pytest.raises(UserError, match=r"The demo CLIP is missing at .*demo-clip.*train it"):
        load_backbone("demo")


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ViT-B-33/openai", "Unknown backbone 'ViT-B-33/openai'.*Did you mean 'ViT-B-32'"),
        ("ViT-B-32", "needs weights after a slash"),
        ("ViT-B-32/nonsense", "Unknown weights tag for ViT-B-32 'nonsense'"),
        ("ViT-B-32/openai", "trained with QuickGELU"),
        ("ViT-B-32/weights.bin", "No such weights file: weights.bin"),
        ("ViT-B-32/gone.safetensors", "No such weights file"),
    ],
)
def test_what_a_name_alone_tells(name, said, monkeypatch):
    """A CLIP that cannot be had by its name is refused before anything is loaded or fetched."""
    monkeypatch.setattr(open_clip, "create_model", None)
    with pytest.raises(UserError, match=said):
        check_backbone_name(name)


def test_names_that_may_be_loaded(folder, monkeypatch):
    """They raise nothing, and nothing is loaded for it."""
    monkeypatch.setattr(open_clip, "create_model", None)
    for name in ("demo", "ViT-B-32-quickgelu/openai", str(folder)):
        check_backbone_name(name)
