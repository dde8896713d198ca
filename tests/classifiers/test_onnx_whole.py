"""One ONNX file from picture to label: its pixels are Pillow's, and its answers are torch's."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from open_clip.model import CLIP
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from mocoop.classifiers import onnx_whole
from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.label import label, open_session, read_picture
from mocoop.classifiers.onnx_nodes import Nodes
from mocoop.classifiers.onnx_transform import add_transform
from mocoop.classifiers.onnx_whole import write_whole
from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.prompts import MixtureClassifier
from mocoop.cli.main import main
from mocoop.clip.backbone import load_backbone, make_backbone
from mocoop.errors import UserError
from mocoop.features.encode import ImageEncoder
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.training.experiment import run_experiment
from tests.support.tiny import TINY_CONFIG, unsettle
from tests.support.tiny_data import picture_folder, tiny_checkpoint

SETTINGS = {
    "small": PreprocessCfg(size=32),
    "as CLIP's": PreprocessCfg(size=(224, 224)),
    "bilinear": PreprocessCfg(size=96, interpolation="bilinear", mean=(0.5, 0.4, 0.3)),
    "squash": PreprocessCfg(size=64, resize_mode="squash"),
}


def noise(generator, height, width, smooth=False):
    pixels = generator.integers(0, 256, (height, width, 3), dtype=np.uint8)
    if smooth:
        small = Image.fromarray(pixels).resize((7, 9))
        pixels = np.asarray(small.resize((width, height), Image.Resampling.BICUBIC))
    return pixels


@pytest.mark.parametrize("name", SETTINGS)
def test_pixels_are_those_of_pillow(name):
    """Equal in every bit: wide, tall, smaller and larger pictures, and such of the right size."""
    new = Nodes("transform")
    side = add_transform(new, SETTINGS[name], "pictures", "images")
    make = onnx.helper.make_tensor_value_info
    graph = onnx.helper.make_graph(
        new.nodes,
        "transform",
        [make("pictures", onnx.TensorProto.UINT8, ["batch", "height", "width", 3])],
        [make("images", onnx.TensorProto.FLOAT, ["batch", 3, side, side])],
        new.constants,
    )
    model = onnx.helper.make_model(graph, opset_imports=[onnx.helper.make_opsetid("", 18)])
    model.ir_version = 10
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    transform = image_transform_v2(SETTINGS[name], is_train=False)
    generator = np.random.default_rng(0)
    shapes = [(side, side), (side + 1, side), (3, 50), (50, 3), (333, 500), (500, 333), (1, 1)]
    shapes += [tuple(map(int, generator.integers(20, 400, 2))) for _ in range(24)]
    for number, shape in enumerate(shapes):
        pixels = noise(generator, *shape, smooth=number % 2 == 1)
        expected = transform(Image.fromarray(pixels)).numpy()
        (found,) = session.run(None, {"pictures": pixels[None]})
        np.testing.assert_array_equal(found[0], expected, err_msg=str(shape))


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """Finished runs of the tiny CLIP by method, the folder of their pictures, an export."""
    root = tmp_path_factory.mktemp("whole")
    data, backbone = picture_folder(root / "pictures"), tiny_checkpoint(root / "clip")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        for method in ("mocoop-ln", "coop"):
            config = replace(preset(method), data=data, backbone=backbone, shots=2, epochs=2)
            list(run_experiment(replace(config, augment="none"), root / method))
        tokens = {"image_cache": False, "vision_depth": 1, "router_input": "frozen"}
        config = replace(
            preset("mocoop"), data=data, backbone=backbone, shots=2, epochs=2, **tokens
        )
        list(run_experiment(config, root / "tokens"))
        command = ["export", str(root / "mocoop-ln"), "--out", str(root / "out"), "--tower"]
        assert main(command) == 0
    return root


@pytest.mark.long
def test_a_run(runs):
    """Router, mixture and trained LayerNorms: torch's answers for batches of 1 and 7."""
    folder = runs / "out"
    assert load_export(folder).tuned.overrides
    same_answers(folder / "classifier.onnx", ImageClassifier.from_run(Run(runs / "mocoop-ln")))
    assert "python label.py" in (folder / "README.md").read_text()


@pytest.mark.long
def test_learned_tokens_and_a_router_that_sees_the_frozen_tower(runs, tmp_path):
    """Both halves of a feature reach what compares them, in the files and in the classifier."""
    run, folder = Run(runs / "tokens"), tmp_path / "out"
    assert main(["export", str(run.path), "--out", str(folder), "--tower"]) == 0
    exported, opened = load_export(folder), ImageClassifier.from_run(run)
    assert exported.tuned.with_frozen
    assert torch.equal(exported.tuned.tokens, run.weights()["vision.values"])
    same_answers(folder / "classifier.onnx", opened)
    pictures = [Image.fromarray(noise(np.random.default_rng(1), 40, 50)) for _ in range(3)]
    expected = opened.predict(pictures)
    found = exported.predict(pictures)
    torch.testing.assert_close(found.probabilities, expected.probabilities)
    torch.testing.assert_close(found.weights, expected.weights)
    features = exported.encoder().pictures(pictures).numpy()
    session = onnxruntime.InferenceSession(folder / "head.onnx")
    probabilities, weights = session.run(
        ["probabilities", "weights"], {"image_features": features}
    )
    np.testing.assert_allclose(probabilities, expected.probabilities, atol=1e-5)
    np.testing.assert_allclose(weights, expected.weights, atol=1e-5)


@pytest.mark.long
def test_one_prompt(runs, tmp_path, capsys):
    """A run without a router, and what the command says."""
    folder = tmp_path / "out"
    command = ["export", str(runs / "coop"), "--out", str(folder), "--tower", "--no-onnx"]
    assert main([*command, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert sorted(said["files"]) == sorted(path.name for path in folder.iterdir())
    assert "head.onnx" not in said["files"]
    same_answers(folder / "classifier.onnx", ImageClassifier.from_run(Run(runs / "coop")))


def same_answers(file, classifier):
    """Checks a file against torch; its batches have pictures of other sizes than its export."""
    session = open_session(file, threads=1)
    generator = np.random.default_rng(3)
    for count, shape in ((1, (45, 61)), (7, (80, 33))):
        pixels = np.stack([noise(generator, *shape, smooth=True) for _ in range(count)])
        routed = classifier.predict(list(pixels))
        names = ("label", "probabilities", "logits", "experts", "weights")
        found = dict(zip(names, session.run(names, {"pictures": pixels}), strict=True))
        assert found["label"].tolist() == routed.probabilities.argmax(dim=-1).tolist()
        for name, expected in (
            ("probabilities", routed.probabilities),
            ("weights", routed.weights),
        ):
            torch.testing.assert_close(torch.from_numpy(found[name]), expected, atol=1e-4, rtol=0)
        soft = torch.from_numpy(found["logits"]).softmax(dim=-1)
        torch.testing.assert_close(soft, routed.probabilities, atol=1e-4, rtol=0)
        best = routed.scores.topk(found["experts"].shape[1]).indices
        assert found["experts"].tolist() == best.tolist()


TOWERS = {
    "ViT": {},
    "ViT of CoCa's kind": {"attentional_pool": True, "attn_pooler_heads": 4},
    "ViT with averages": {"pool_type": "avg", "no_ln_pre": True},
    "ResNet": {"layers": [1, 1, 1, 1], "width": 8},
}


LONG = [kind if kind == "ViT" else pytest.param(kind, marks=pytest.mark.long) for kind in TOWERS]


@pytest.mark.long
@pytest.mark.parametrize("kind", LONG)
def test_towers_of_open_clip(tmp_path, kind):
    """Random small towers with a random mixture whose router chooses differently."""
    vision = dict(TINY_CONFIG["vision_cfg"]) | TOWERS[kind]
    if kind == "ResNet":
        vision.pop("patch_size")
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        model = CLIP(**TINY_CONFIG | {"vision_cfg": vision})
        unsettle(model)
    backbone = make_backbone(kind, model, load_backbone("demo").tokenizer, torch.device("cpu"))
    classifier = random_mixture(16)
    write_whole(tmp_path / "classifier.onnx", classifier, backbone)
    both = ImageClassifier(classifier, ImageEncoder(backbone))
    same_answers(tmp_path / "classifier.onnx", both)


def random_mixture(dim, classes=5, experts=4):
    generator = torch.Generator().manual_seed(2)
    soft = torch.randn(experts, classes, dim, generator=generator)
    gate = torch.nn.Linear(dim, experts)
    with torch.no_grad():
        gate.weight.copy_(torch.randn(experts, dim, generator=generator))
    names = tuple(f"class {number}" for number in range(classes))
    soft = torch.nn.functional.normalize(soft, dim=-1)
    return MixtureClassifier(names, ("a", "b", "c", "d"), soft, gate, 20.0, 2)


WITHOUT_TORCH = """
import runpy, sys
sys.modules.update(torch=None, open_clip=None, mocoop=None)
script, *sys.argv[1:] = sys.argv[1:]
runpy.run_path(script, run_name="__main__")
"""


@pytest.mark.long
def test_label_script_needs_no_torch(runs, tmp_path):
    """The script beside the file runs where torch cannot be imported, and says what we say."""
    run = Run(runs / "mocoop-ln")
    sound = runs / "pictures" / "test" / "red cup" / "0.png"
    clear, turned = tmp_path / "clear.png", tmp_path / "turned.jpg"
    layer = Image.open(sound).convert("RGBA")
    layer.putalpha(120)
    layer.save(clear)
    exif = Image.Exif()
    exif[0x0112] = 6  # stored on its side
    Image.open(sound).save(turned, exif=exif)
    pictures = [str(sound), str(clear), str(turned)]
    command = [sys.executable, "-c", WITHOUT_TORCH, str(runs / "out" / "label.py"), *pictures]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    answers = [json.loads(line) for line in done.stdout.splitlines()]
    routed = ImageClassifier.from_run(run).predict(pictures)
    for number, answer in enumerate(answers):
        assert answer["image"] == pictures[number]
        expected = dict(
            zip(routed.class_names, routed.probabilities[number].tolist(), strict=True)
        )
        assert answer["probabilities"] == pytest.approx(expected, abs=1e-4)
        assert answer["label"] == max(expected, key=expected.get)
        assert answer["experts"] == pytest.approx(dict(routed.chosen(number)), abs=1e-4)


def test_deep_pictures_are_refused(tmp_path):
    Image.fromarray(np.full((9, 9), 4095, np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match="more than 8 bits per channel"):
        read_picture(tmp_path / "deep.png")


@pytest.mark.long
def test_the_built_in_clip(tmp_path):
    """The real image tower, its 64 px transform, and a mixture over its features."""
    backbone = load_backbone("demo")
    classifier = random_mixture(backbone.text.dim)
    write_whole(tmp_path / "classifier.onnx", classifier, backbone)
    same_answers(tmp_path / "classifier.onnx", ImageClassifier(classifier, ImageEncoder(backbone)))
    picture = noise(np.random.default_rng(0), 70, 70)
    answer = label(open_session(tmp_path / "classifier.onnx"), picture)
    assert len(answer["experts"]) == 2
    assert sum(answer["experts"].values()) == pytest.approx(1)


def test_what_cannot_be_written(runs, tmp_path, monkeypatch):
    """A missing package, a transform that is not exact, a tower too large, a wrong result."""
    run = Run(runs / "coop")
    backbone, classifier = load_backbone("demo"), random_mixture(64)
    file = tmp_path / "new" / "classifier.onnx"
    odd = replace(backbone, preprocess=replace(backbone.preprocess, resize_mode="longest"))
    with pytest.raises(UserError, match=r"transform \(size .*, longest, bicubic\) cannot be"):
        write_whole(file, classifier, odd)
    monkeypatch.setattr(onnx_whole, "LARGEST", 1000)
    with pytest.raises(UserError, match=r"The image tower has .* GB in fp32.*head\.onnx"):
        write_whole(file, classifier, backbone)
    monkeypatch.undo()
    monkeypatch.setattr(onnx_whole, "TOLERANCE", -1.0)
    with pytest.raises(UserError, match=r"differs from torch by .* it is not written"):
        export_run(run, file.parent, tower=True)
    monkeypatch.undo()

    def refuse(*args, **options):
        raise torch.onnx.errors.OnnxExporterError("no such operator")

    monkeypatch.setattr(torch.onnx, "export", refuse)
    with pytest.raises(UserError, match=r"cannot be written as ONNX: no such operator\. Export"):
        export_run(run, file.parent, tower=True)
    monkeypatch.setattr(onnx_whole, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r'pip install "mocoop\[onnx\]"'):
        export_run(run, file.parent, tower=True)
    assert not file.parent.exists() or not any(file.parent.iterdir())
