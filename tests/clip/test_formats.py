"""Every format of a CLIP's weights gives the features of its original's forward pass."""

from __future__ import annotations

import json
import pickle
import warnings
import zipfile

import open_clip
import pytest
import torch
import torch.nn.functional as F
from safetensors.torch import save_file

from mocoop.clip.backbone import load_backbone
from mocoop.errors import UserError, UserNote
from mocoop.storage.torch_archive import read_torch_archive
from tests.support.plain_clips import (
    CONTEXT,
    ENTRIES,
    IMAGE,
    as_openai_stores,
    hugging_face_clip,
    hugging_face_features,
    openai_clip,
    openai_features,
)

NAME = "Small-OpenAI"
CONFIG = {
    "embed_dim": 24,
    "vision_cfg": {"image_size": IMAGE, "patch_size": 16, "width": 128, "layers": 2},
    "text_cfg": {
        "context_length": CONTEXT, "vocab_size": 49408, "width": 64, "heads": 1, "layers": 2
    },
}  # fmt: skip


class Layout(torch.nn.Module):
    """A module with the tensors of a state dict under their names; it computes nothing of note."""

    def __init__(self, tensors):
        super().__init__()
        for name, value in tensors.items():
            *path, last = name.split(".")
            owner = self
            for part in path:
                if not hasattr(owner, part):
                    owner.add_module(part, torch.nn.Module())
                owner = getattr(owner, part)
            owner.register_buffer(last, value)

    def forward(self, x):
        return x + self.logit_scale


@pytest.fixture(scope="module")
def original():
    """OpenAI's weights as they are stored, and what the model makes of pictures and texts."""
    stored = as_openai_stores(openai_clip())
    return stored, openai_features(stored, pictures(), tokens())


@pytest.fixture
def twins(monkeypatch):
    """Architectures of open_clip's that the small CLIP fits, with GELU and QuickGELU."""
    known = open_clip.factory._MODEL_CONFIGS
    monkeypatch.setitem(known, NAME, CONFIG)
    monkeypatch.setitem(known, f"{NAME}-quickgelu", CONFIG | {"quick_gelu": True})


def pictures():
    return torch.randn(3, 3, IMAGE, IMAGE, generator=torch.Generator().manual_seed(3))


def tokens():
    return open_clip.SimpleTokenizer()(["a photo of a cat.", "two dogs", "a very small bird"])


def check(name, expected):
    """Checks that a CLIP gives these features, in images and texts, to 1e-5."""
    backbone = load_backbone(str(name))
    for found, wanted in zip(
        (backbone.image_features(pictures()), backbone.text.encode_tokens(tokens())),
        expected,
        strict=True,
    ):
        found, wanted = F.normalize(found, dim=-1), F.normalize(wanted, dim=-1)
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=0)
    return backbone


def save(tensors, file):
    if file.suffix == ".safetensors":
        save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    else:
        torch.save(tensors, file)
    return file


@pytest.mark.parametrize("kind", ["ViT.pt", "plain.pt", "plain.safetensors"])
def test_openai(original, tmp_path, kind):
    """A JIT archive, a plain state dict and safetensors, with the three whole numbers."""
    stored, expected = original
    file = tmp_path / kind
    if kind == "ViT.pt":
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(Layout(stored), torch.zeros(1)).save(str(file))
        assert read_torch_archive(file).is_script
    else:
        save(stored, file)
    backbone = check(file, expected)
    assert backbone.preprocess.mean == open_clip.OPENAI_DATASET_MEAN
    assert all(value.dtype == torch.float32 for value in backbone.model.state_dict().values())


def test_openai_by_architecture(original, twins, tmp_path):
    """The twin with QuickGELU takes them, and the other one is refused with advice."""
    stored, expected = original
    file = save(stored, tmp_path / "clip.safetensors")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check(f"{NAME}-quickgelu/{file}", expected)
    with pytest.raises(UserError, match=rf"QuickGELU.*Use {NAME}-quickgelu/{file}\."):
        load_backbone(f"{NAME}/{file}")


@pytest.mark.parametrize("kind", ["open_clip_pytorch_model.bin", "epoch_3.pt", "w.safetensors"])
def test_open_clip(twins, tmp_path, kind):
    """A pickle, a checkpoint of a training (with `module.` and optimizer), and safetensors."""
    weights = openai_clip(seed=4)
    expected = openai_features(weights, pictures(), tokens(), act=F.gelu)
    content = weights
    if kind == "epoch_3.pt":
        content = {
            "epoch": 3,
            "name": "2026_01_01-model_Small-OpenAI-lr_0.0005",
            "state_dict": {f"module.{name}": value for name, value in weights.items()},
            "optimizer": {"state": {0: {"step": torch.tensor(3.0)}}, "param_groups": [{"lr": 1}]},
            "scaler": {"scale": 65536.0},
        }
    file = save(content, tmp_path / kind)
    with pytest.warns(UserNote, match="with plain GELU"):
        check(f"{NAME}/{file}", expected)
    with pytest.raises(UserError, match=rf"fits {NAME} and {NAME}-quickgelu, and does not say"):
        load_backbone(str(file))


def test_checkpoint_in_the_folder_of_its_training(twins, tmp_path):
    """open_clip's params.txt says the architecture and the activation."""
    weights = openai_clip(seed=4)
    folder = tmp_path / "logs" / "run" / "checkpoints"
    folder.mkdir(parents=True)
    file = save({"epoch": 1, "state_dict": weights}, folder / "epoch_1.pt")
    (folder.parent / "params.txt").write_text(f"force_quick_gelu: True\nmodel: {NAME}\n")
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is doubtful
        check(file, openai_features(weights, pictures(), tokens()))
        (folder.parent / "params.txt").write_text(f"force_quick_gelu: False\nmodel: {NAME}\n")
        check(file, openai_features(weights, pictures(), tokens(), act=F.gelu))


def hugging_face_folder(path, act="quick_gelu", kind="model.safetensors"):
    config, weights = hugging_face_clip(act=act)
    path.mkdir(parents=True)
    (path / "config.json").write_text(json.dumps(config))
    transform = {
        "size": {"shortest_edge": IMAGE},
        "crop_size": {"height": IMAGE, "width": IMAGE},
        "resample": 2,
        "image_mean": [0.5, 0.4, 0.3],
        "image_std": [0.2, 0.3, 0.4],
    }
    (path / "preprocessor_config.json").write_text(json.dumps(transform))
    if kind == "sharded":
        names = sorted(weights)
        parts = {"model-1-of-2.safetensors": names[::2], "model-2-of-2.safetensors": names[1::2]}
        for file, part in parts.items():
            save({name: weights[name] for name in part}, path / file)
        places = {name: file for file, part in parts.items() for name in part}
        index = path / "model.safetensors.index.json"
        index.write_text(json.dumps({"weight_map": places}))
    else:
        save(weights, path / kind)
    return weights


@pytest.mark.parametrize(
    ("kind", "act"),
    [
        ("model.safetensors", "quick_gelu"),
        ("model.safetensors", "gelu"),
        ("pytorch_model.bin", "quick_gelu"),
        ("sharded", "gelu"),
    ],
)
def test_hugging_face_folder(tmp_path, kind, act):
    """The configuration tells the activation, the heads and the transform."""
    weights = hugging_face_folder(tmp_path / "clip", act, kind)
    plain = {"gelu": {"act": F.gelu}}.get(act, {})
    expected = hugging_face_features(weights, pictures(), tokens(), **plain)
    backbone = check(tmp_path / "clip", expected)
    assert backbone.preprocess.std == (0.2, 0.3, 0.4)
    assert backbone.preprocess.interpolation == "bilinear"


def test_hugging_face_file(tmp_path):
    """A file of such a folder is read with the configuration beside it."""
    weights = hugging_face_folder(tmp_path / "clip")
    expected = hugging_face_features(weights, pictures(), tokens())
    check(tmp_path / "clip" / "model.safetensors", expected)


@pytest.mark.parametrize("name", ["openai/clip-vit-base-patch16", "hf-hub:someone/weights"])
def test_hub_names(tmp_path, monkeypatch, name):
    """A repository in the hub's cache loads without a network."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    repository = name.removeprefix("hf-hub:")
    folder = tmp_path / f"models--{repository.replace('/', '--')}"
    (folder / "refs").mkdir(parents=True)
    (folder / "refs" / "main").write_text("0" * 40)
    weights = hugging_face_folder(folder / "snapshots" / ("0" * 40))
    check(name, hugging_face_features(weights, pictures(), tokens()))


def test_hub_name_without_a_network(tmp_path, monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="openai/clip-vit-base-patch16 is no folder here"):
        load_backbone("openai/clip-vit-base-patch16")
    with pytest.raises(UserError, match="expected hf-hub:OWNER/NAME"):
        load_backbone("hf-hub:nothing")


def test_hugging_face_that_does_not_fit(tmp_path):
    """Another model, mixed activations, and weights of other sizes are refused in words."""
    hugging_face_folder(tmp_path / "clip")
    file = tmp_path / "clip" / "config.json"
    config = json.loads(file.read_text())
    for change, said in (
        ({"model_type": "siglip"}, "model of type 'siglip'"),
        ({"text_config": config["text_config"] | {"hidden_act": "gelu"}}, "gelu and quick_gelu"),
        ({"projection_dim": 25}, r"text_projection is \(16, 24\) instead of \(16, 25\)"),
    ):
        file.write_text(json.dumps(config | change))
        with pytest.raises(UserError, match=said):
            load_backbone(str(tmp_path / "clip"))
    file.unlink()
    with pytest.raises(UserError, match=r"put their config\.json beside the file"):
        load_backbone(str(tmp_path / "clip" / "model.safetensors"))


def test_misfit_names_three_keys_and_what_would_fit(twins, tmp_path, monkeypatch):
    """Three keys that differ are named, how many more there are, and what fits."""
    wider = CONFIG | {"vision_cfg": CONFIG["vision_cfg"] | {"width": 192, "layers": 1}}
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "Wide-Test", wider)
    file = save(openai_clip(), tmp_path / "w.safetensors")
    with pytest.raises(UserError) as info:
        load_backbone(f"Wide-Test/{file}")
    message = str(info.value)
    assert "visual.class_embedding is (128,) instead of (192,)" in message
    first = message.partition("Wide-Test: ")[2].partition("; and ")[0]
    assert len(first.split("; ")) == 3
    assert message.endswith(f"more. They would fit {NAME} or {NAME}-quickgelu.")


class Evil:
    """Its pickle asks for a call that leaves a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return exec, (f"open({str(self.target)!r}, 'w')",)


def test_pickled_objects_are_not_opened(original, twins, tmp_path):
    """Neither by torch nor by the reader of archives: nothing in the file runs."""
    stored, _ = original
    trace = tmp_path / "it-ran"
    file = save(stored | {"more": Evil(trace)}, tmp_path / "w.pt")
    (tmp_path / "old.pt").write_bytes(pickle.dumps({"state_dict": Evil(trace)}))
    for name in (file, tmp_path / "old.pt", f"{NAME}-quickgelu/{file}"):
        with pytest.raises(UserError, match="which could run code"):
            load_backbone(str(name))
    named = read_torch_archive(file)
    assert any(name.endswith(" exec") for name in named.names)
    assert not trace.exists()


def test_script_archive_with_code_that_would_run(original, tmp_path):
    """The code in a JIT archive is not even read: it may be anything."""
    stored, expected = original
    plain, file = tmp_path / "plain.pt", tmp_path / "changed.pt"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.jit.trace(Layout(stored), torch.zeros(1)).save(str(plain))
    with zipfile.ZipFile(plain) as source, zipfile.ZipFile(file, "w") as target:
        for member in source.namelist():
            data = b"not a program" if "/code/" in member else source.read(member)
            target.writestr(member, data)
    check(file, expected)


@pytest.mark.parametrize("kind", ["w.safetensors", "w.pt"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.999])
def test_truncated_files(original, tmp_path, kind, share):
    """A file that is cut off anywhere is refused with its size."""
    file = save(original[0], tmp_path / kind)
    data = file.read_bytes()
    file.write_bytes(data[: int(share * len(data))])
    with pytest.raises(UserError, match=rf"w\..*{'bytes' if share else ''}.*again"):
        load_backbone(str(file))


def test_a_file_without_tensors(tmp_path):
    for content in ([1, 2], {"state_dict": {}}, {"a": 1}):
        with pytest.raises(UserError, match="holds no tensors by name"):
            load_backbone(str(save(content, tmp_path / "w.pt")))
    assert set(ENTRIES) == {"input_resolution", "context_length", "vocab_size"}
