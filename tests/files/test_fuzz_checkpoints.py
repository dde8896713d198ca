"""Mutated checkpoints of every format: loaded whole, or refused in a sentence.

Nothing is left behind, nothing in a file runs, and a file that claims to be large takes no memory.
"""

from __future__ import annotations

import json
import random
import re
import resource
import struct
import warnings
import zipfile
from dataclasses import dataclass
from pathlib import Path

import open_clip
import pytest
import torch
from safetensors.torch import save

from mocoop.clip.backbone import load_backbone
from mocoop.config import TrainConfig
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.exchange.import_prompts import import_prompts
from tests.clip.test_formats import CONFIG, NAME, Layout
from tests.exchange.test_import import (
    GROUPS,
    Evil,
    cocoop_state,
    coop_state,
    dassl_file,
    drawn,
    mocoop_state,
)
from tests.files.test_fuzz import mutated
from tests.support.plain_clips import as_openai_stores, hugging_face_clip, openai_clip
from tests.support.tiny_data import picture_folder, tiny_checkpoint

FORMATS = (
    "OpenAI, JIT", "OpenAI, plain", "OpenAI, safetensors", "open_clip, .bin",
    "open_clip, old .bin", "open_clip, training", "open_clip, folder", "Hugging Face, folder",
    "CoOp", "CoOp, classes", "CoCoOp", "MoCoOp",
)  # fmt: skip
MORE_MEMORY = 1 << 30  # bytes that all of it may take


@dataclass(frozen=True)
class Place:
    """What every checkpoint is tried with."""

    root: Path
    clip: object
    dataset: object
    name: str


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    root = tmp_path_factory.mktemp("fuzz")
    data, name = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    return Place(root, load_backbone(name), load_dataset(data), name)


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module", autouse=True)
def known():
    """An architecture of open_clip's that the small CLIP fits, as its only one."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(open_clip.factory._MODEL_CONFIGS, NAME, config())
        yield


def config():
    one = {tower: CONFIG[tower] | {"layers": 1} for tower in ("vision_cfg", "text_cfg")}
    return CONFIG | one


def compact(tensors):
    """Returns weights whose token embeddings, the largest part of a file, are in fp16."""
    return {name: v.half() if v.shape[:1] == (49408,) else v for name, v in tensors.items()}


def whole(kind, place):
    """Returns the tensors of a sound checkpoint of a format."""
    if kind.startswith("OpenAI"):
        return compact(as_openai_stores(openai_clip(layers=1)))
    if kind.startswith("open_clip"):
        return compact(openai_clip(layers=1))
    if kind.startswith("Hugging"):
        return compact(hugging_face_clip(layers=1)[1])
    context = {"CoOp": drawn(4, 32), "CoOp, classes": drawn(3, 4, 32)}
    if kind in context:
        return coop_state(place.clip, context[kind])
    return cocoop_state(place.clip) if kind == "CoCoOp" else mocoop_state(place.clip)


def written(kind, tensors, folder):
    """Writes a checkpoint; returns the file and what it is loaded by."""
    folder.mkdir(parents=True)
    if kind == "OpenAI, JIT":
        file = folder / "ViT.pt"
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            torch.jit.trace(Layout(tensors), torch.zeros(1)).save(str(file))
        return file, file
    if kind in ("CoOp", "CoOp, classes", "CoCoOp", "MoCoOp"):
        return dassl_file(folder / "model.pth.tar-50", tensors), None
    if kind.endswith("folder"):
        if kind.startswith("open_clip"):
            content = {"model_cfg": config(), "preprocess_cfg": {}}
            (folder / "open_clip_config.json").write_text(json.dumps(content))
        else:
            (folder / "config.json").write_text(json.dumps(hugging_face_clip(layers=1)[0]))
        file = folder / "pytorch_model.bin"
        torch.save(tensors, file)
        return file, folder
    file = folder / ("w.safetensors" if kind.endswith("safetensors") else "w.bin")
    if kind.endswith("safetensors"):
        file.write_bytes(save({n: v.contiguous() for n, v in tensors.items()}))
    else:
        content = {"epoch": 3, "state_dict": tensors} if kind.endswith("training") else tensors
        torch.save(content, file, _use_new_zipfile_serialization="old" not in kind)
    return file, file


def strange(value, generator):
    """Returns another value for a tensor: of another type, shape, kind or content."""
    if value.is_meta or value.layout != torch.strided or value.is_quantized:
        return value
    match generator.randrange(14):
        case 0:
            return value.to(generator.choice([torch.float16, torch.bfloat16, torch.float64]))
        case 1:
            return value.to(generator.choice([torch.int8, torch.bool, torch.int64]))
        case 2:
            return value.to(torch.complex64)
        case 3:
            return value.flatten()
        case 4:
            return value[None]
        case 5:
            return value[:0] if value.ndim else value[None][:0]
        case 6:
            return torch.full_like(value.float(), generator.choice([float("nan"), float("inf")]))
        case 7:
            return value.to("meta")
        case 8:
            return value.float().to_sparse() if value.ndim else value
        case 9:
            return torch.zeros(1).expand(1 << 34)
        case 10:
            return generator.choice([None, 3, "text", [value], {"nested": value}])
        case 11:
            return torch.nn.Parameter(value.float())
        case 12:
            return torch.cat([value, value]) if value.ndim else value
        case _:
            return torch.quantize_per_tensor(value.float(), 0.1, 0, torch.qint8)


def changed_tensors(tensors, generator):
    """Returns a state dict with a few entries missing, added, renamed or replaced."""
    changed = dict(tensors)
    for _ in range(generator.randint(1, 2)):
        name = generator.choice(sorted(changed, key=str))
        match generator.randrange(8):
            case 0:
                del changed[name]
            case 1:
                changed[f"{name}.more"] = tensors.get(name)
            case 2:
                changed[generator.choice([7, "", "x" * 5000, "\n"])] = changed.pop(name)
            case 3:
                changed = {f"module.{key}": value for key, value in changed.items()}
            case _:
                if isinstance(changed[name], torch.Tensor):
                    changed[name] = strange(changed[name], generator)
        if not changed:
            break
    return changed


def change_config(file, generator):
    """Changes a few entries of a configuration: other numbers, types and keys."""
    values = json.loads(file.read_text())
    parts = [values, *(part for part in values.values() if isinstance(part, dict))]
    parts += [p for part in parts for p in part.values() if isinstance(p, dict)]
    for _ in range(generator.randint(1, 2)):
        part = generator.choice([p for p in parts if p])
        key = generator.choice(sorted(part))
        odd = [0, -1, 3, 10**5, 10**9, 0.5, None, "x", [], {}, [1, 2], True]
        part[key] = generator.choice(odd)
        if generator.random() < 0.2:
            del part[key]
    file.write_text(json.dumps(values))


def damaged_file(file, generator):
    """Changes bytes of a file: anywhere, in its first or last part, or in its pickle."""
    content = file.read_bytes()
    match generator.randrange(6):
        case 0:
            content = content[: generator.randrange(len(content))]
        case 1:
            content = mutated(content[:400], generator) + content[400:]
        case 2:
            content = content[:-400] + mutated(content[-400:], generator)
        case 3:  # a size that is no size
            content = struct.pack("<Q", generator.choice([0, 9, 1 << 30, 1 << 62])) + content[8:]
        case 4 if zipfile.is_zipfile(file):
            parts = {}
            with zipfile.ZipFile(file) as archive:
                parts = {name: archive.read(name) for name in archive.namelist()}
            compress = generator.choice([zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED])
            with zipfile.ZipFile(file, "w", compress) as archive:
                for name, part in parts.items():
                    hit = name.endswith("data.pkl") or generator.random() < 0.05
                    archive.writestr(name, mutated(part, generator) if hit else part)
            return
        case _:
            content = mutated(content, generator)
    file.write_bytes(content)


def attempt(kind, target, file, place, folder):
    """Loads a checkpoint; returns the sentence that refuses it, or "" for one that is whole."""
    try:
        if target is not None:
            state = load_backbone(str(target)).model.state_dict()
            assert all(value.isfinite().all() for value in state.values())
            return ""
        settings = TrainConfig(
            data=place.dataset.name,
            backbone=place.name,
            shots=1,
            device="cpu",
            groups=GROUPS if kind == "MoCoOp" else None,
        )
        run = import_prompts(
            file, settings, folder / "run", dataset=place.dataset, backbone=place.clip
        )
        assert run.features().last.isfinite().all()
        return ""
    except UserError as error:
        assert not (folder / "run").exists()
        return str(error)


def fuzz(kind, seeds, place, tmp_path):
    """Tries mutations of a format; returns how many were loaded and the refusals."""
    loaded, refused = 0, []
    for seed in seeds:
        generator = random.Random(f"{kind} {seed}")
        folder = tmp_path / f"{kind} {seed}"
        tensors = whole(kind, place)
        structural = generator.random() < 0.5 and not kind.endswith(("JIT", "safetensors"))
        if structural:
            tensors = changed_tensors(tensors, generator)
        file, target = written(kind, tensors, folder)
        if structural and generator.random() < 0.1:
            torch.save({"state_dict": tensors, "odd": Evil(tmp_path / "ran")}, file)
        if not structural:
            damaged_file(file, generator)
        if kind.endswith("folder") and generator.random() < 0.4:
            change_config(next(folder.glob("*.json")), generator)
        before = {path for path in folder.rglob("*") if path.name != "run"}
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            said = attempt(kind, target, file, place, folder)
        assert not (tmp_path / "ran").exists()
        left = {path for path in folder.rglob("*") if "run" not in path.parts[-2:]} - before
        assert not left or not said, left
        if said:
            assert "Traceback" not in said
            assert len(said) < 1500, said
            assert said.endswith("."), said
            refused.append(said)
        else:
            loaded += 1
    return loaded, refused


@pytest.mark.parametrize("kind", FORMATS)
def test_checkpoints(kind, place, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded, refused = fuzz(kind, range(4), place, tmp_path)
    assert loaded + len(refused) == 4
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MORE_MEMORY


@pytest.mark.long
@pytest.mark.parametrize("kind", FORMATS)
def test_five_hundred_checkpoints(kind, place, tmp_path):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    loaded, refused = fuzz(kind, range(100, 142), place, tmp_path)
    assert loaded
    assert len(refused) > 10
    grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert grown * 1024 < MORE_MEMORY


def test_what_no_byte_says(place, tmp_path):
    """Repeated values, whole numbers, no numbers, and sizes that no machine holds."""
    sound = whole("open_clip, folder", place)
    name = "visual.proj"
    for number, (value, said) in enumerate(
        (
            (torch.zeros(1).expand(1 << 36), "tensor that is larger than its bytes"),
            (sound[name].to(torch.int8), f"{name} holds int8 numbers: expected floating point"),
            (sound[name] * float("nan"), f"{name} holds values that are no numbers"),
            (sound[name].to_sparse(), f"{name} is sparse_coo. Expected plain tensors"),
            (sound[name].to("meta"), f"{name} is without values. Expected plain tensors"),
        )
    ):
        _, folder = written("open_clip, folder", sound | {name: value}, tmp_path / str(number))
        with pytest.raises(UserError, match=re.escape(said)):
            load_backbone(str(folder))
    file, _ = written("open_clip, old .bin", {"a": torch.zeros(1).expand(1 << 36)}, tmp_path / "x")
    with pytest.raises(UserError, match="it repeats values instead of storing them"):
        load_backbone(f"{NAME}/{file}")
    _, folder = written("open_clip, folder", sound, tmp_path / "large")
    content = json.loads((folder / "open_clip_config.json").read_text())
    content["model_cfg"]["text_cfg"]["layers"] = 10**7
    (folder / "open_clip_config.json").write_text(json.dumps(content))
    with pytest.raises(UserError, match=r"CLIP of about 4\.9e\+11 parameters, and the weights"):
        load_backbone(str(folder))
