"""One training in two processes (gloo) is that of one process: losses, gradients, weights.

The processes are started once for all trainings of this file.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from mocoop.cli.main import main
from mocoop.config import TrainConfig
from mocoop.errors import UserError
from mocoop.model.ranks import Ranks
from mocoop.presets import preset
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED
from mocoop.training import ranks
from tests.support.tiny_data import picture_folder, tiny_checkpoint

TOLERANCE = {"rtol": 1e-5, "atol": 1e-5}
CASES = {
    "mocoop": {},
    "coop": {"align_gradient": True},  # two gradients of one step
    "mocoop-cond": {"batch_size": 4},  # every image has its own texts
    "maple": {
        "batch_size": 4,
        "vision_depth": 1,
        "text_depth": 1,
    },  # both towers learn from the same tokens
    "mocoop-ln": {"batch_size": 5},  # an odd number of images
}
STEPS = 3
CHOOSER = """
import sys
from tests.training.test_ranks import run_with_a_choice_of_its_own
run_with_a_choice_of_its_own(*sys.argv[1:])
"""
WORKER = """
import sys
from tests.training.test_ranks import steps_of_all
steps_of_all(sys.argv[1], sys.argv[2], sys.argv[3])
"""


def config_of(method, pictures, clip):
    changed = {"shots": 2, "seed": 1, "data": pictures, "backbone": clip, "epochs": 2}
    return replace(preset(method, clip), **(changed | {"precision": "fp32"} | CASES[method]))


def steps_of(config):
    """Returns the losses, gradients and weights of a few steps, by name."""
    from mocoop.features.cache import FeatureCache
    from mocoop.model.build import build_model
    from mocoop.model.hard_prompts import group_prototypes, hard_features
    from mocoop.prompt_encoder.layout import ClassTokens
    from mocoop.training.optimizer import PromptOptimizer
    from mocoop.training.prepare import prepare, training_data
    from mocoop.training.snapshots import training_fingerprint
    from mocoop.training.step_losses import step_losses

    prepared = prepare(config)
    config, tower = prepared.config, prepared.backbone.text
    hard = hard_features(tower, prepared.groups, prepared.dataset.class_names)
    generator = torch.Generator().manual_seed(1)
    model = build_model(config, prepared.backbone, prepared.groups, generator, 3)
    cache = FeatureCache(prepared.backbone)
    with ranks.in_turn():
        data = training_data(prepared, hard, group_prototypes(hard), cache)
    classes = ClassTokens.from_names(tower.tokens, data.class_names)
    optimizer, found = PromptOptimizer(model, config), {}
    with ranks.shared(model, lambda: training_fingerprint(prepared, data)):
        for step in range(STEPS):
            chosen = torch.arange(config.batch_size) % len(data.train)
            features = data.train.batch(model, chosen, 1, generator)
            labels = data.train_labels[chosen]
            losses, _ = step_losses(
                model, tower, classes, features, labels, data, config, generator
            )
            for name, loss in losses.items():
                found[f"{step}/loss/{name}"] = loss.detach().clone()
            optimizer.step(losses, 1, step)
            for name, parameter in model.named_parameters():
                if parameter.grad is not None:
                    found[f"{step}/gradient/{name}"] = parameter.grad.clone()
        found["plain"] = data.val.plain(model).clone()
    return found | {f"weight/{name}": p.detach().clone() for name, p in model.named_parameters()}


def steps_of_all(pictures, clip, out):
    """Writes the steps of all cases; one process of two."""
    with ranks.joined(TrainConfig(data=pictures)) as own:
        for method in CASES:
            found = steps_of(config_of(method, pictures, clip))
            save_file(
                {k: v.contiguous() for k, v in found.items()}, f"{out}/{method}-{own.rank}.st"
            )


def run_with_a_choice_of_its_own(pictures, clip, out):
    """Trains DPL in one process of two, whose search finds other numbers than the other one's."""
    from mocoop.training import search_stage
    from mocoop.training.experiment import run_experiment
    from mocoop.training.length_search import alphas_of

    changes = {"vision_depth": 1, "text_depth": 2, "length_epochs": 1, "epochs": 1, "shots": 2}
    config = replace(preset("dpl", clip), data=pictures, backbone=clip, precision="fp32")
    config = replace(config, length_images="train", **changes)

    def search(model, *others):
        with torch.no_grad():
            for alphas in alphas_of(model).values():
                alphas[:, 1 + own.rank] += 9.0
        yield 1

    search_stage.search_lengths = search
    with ranks.joined(config) as own:
        accuracy = torch.tensor(float(own.rank))
        ranks.take_from_first([accuracy])
        assert accuracy == 0
        for _ in run_experiment(config, Path(out) / f"dpl-{own.rank}"):
            pass


def free_port():
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return str(found.getsockname()[1])


def start(world, *line, **options):
    """Starts processes as torchrun does; returns them."""
    shared = {"WORLD_SIZE": str(world), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": free_port()}
    return [
        subprocess.Popen(
            [sys.executable, *line],
            env=os.environ | shared | {"RANK": str(rank), "LOCAL_RANK": str(rank)},
            text=True,
            **options,
        )
        for rank in range(world)
    ]


@pytest.fixture(scope="module")
def places(tmp_path_factory):
    """A folder of pictures, a checkpoint, and a folder for what the processes write."""
    folder = tmp_path_factory.mktemp("ranks")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(folder / "cache"))
        patch.setenv("OMP_NUM_THREADS", "1")
        (folder / "out").mkdir()
        clip = tiny_checkpoint(folder / "clip")
        yield picture_folder(folder / "pictures"), clip, folder / "out"


@pytest.fixture(scope="module")
def together(places):
    """What two processes found, by method and rank."""
    processes = start(2, "-c", WORKER, *map(str, places))
    assert [process.wait(300) for process in processes] == [0, 0]
    return {
        (method, rank): load_file(places[2] / f"{method}-{rank}.st")
        for method in CASES
        for rank in range(2)
    }


@pytest.mark.long
@pytest.mark.parametrize("method", CASES)
def test_two_processes_train_as_one(method, together, places):
    alone = steps_of(config_of(method, *places[:2]))
    first, second = together[method, 0], together[method, 1]
    assert first.keys() == second.keys() == alone.keys()
    assert any("gradient" in name for name in alone)
    for name, value in alone.items():
        torch.testing.assert_close(first[name], value, **TOLERANCE, msg=lambda m, n=name: n + m)
        if "weight" in name or "gradient" in name:  # or they would drift apart
            assert torch.equal(first[name], second[name]), name
    gradients = [value for name, value in alone.items() if name.startswith("2/gradient")]
    assert max(value.abs().max() for value in gradients if value.numel()) > 1e-4


def test_shares_are_even_and_whole():
    for world in (1, 2, 3, 5):
        for count in (0, 1, 4, 7):
            parts = [Ranks(rank, world).part(count) for rank in range(world)]
            assert [i for first, last in parts for i in range(first, last)] == list(range(count))
            sizes = [last - first for first, last in parts]
            assert max(sizes) - min(sizes) <= 1


def test_a_part_of_the_classes(tiny_backbone):
    from mocoop.prompt_encoder.layout import ClassTokens

    names = ["red cup", "green leaf with dots", "bird", "a"]
    classes = ClassTokens.from_names(tiny_backbone.text.tokens, names)
    part = classes.part(1, 3)
    expected = ClassTokens.from_names(tiny_backbone.text.tokens, names[1:3])
    assert part.names == expected.names
    assert torch.equal(part.ids, expected.ids)
    assert torch.equal(part.lengths, expected.lengths)
    assert classes.part(1, 3) is part
    assert classes.part(0, 4) is classes
    assert classes.first(2) is classes.part(0, 2)


@pytest.mark.parametrize(
    ("config", "message"),
    [
        (preset("zero-shot"), "zero-shot learns no prompts"),
        (preset("tip-adapter-f"), "learns no prompts"),
        (replace(preset("coop"), class_context=True), "context of its own"),
        (replace(preset("clip-lora"), lora_dropout=0.25), "lora_dropout to 0"),
    ],
)
def test_what_cannot_be_shared_is_refused(config, message):
    with pytest.raises(UserError, match=message):
        ranks.check_can_be_shared(config)


def test_places_that_do_not_fit_are_told(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "2")
    with pytest.raises(UserError, match="RANK is 2, expected 0 to 1"):
        ranks.ranks_asked_for()
    monkeypatch.setenv("RANK", "first")
    with pytest.raises(UserError, match="have to be whole numbers"):
        ranks.ranks_asked_for()


def test_too_few_devices_are_told(capsys):
    assert main(["train", "--devices", "0", "--data", "digits"]) == 2
    assert "devices must be at least 1" in capsys.readouterr().err


def line_of(places, path, *more):
    pictures, clip, _ = places
    line = ["train", "--data", pictures, "--backbone", clip, "--method", "mocoop", "--shots", "2"]
    return [*line, "--epochs", "3", "--device", "cpu", "--run", str(path), *more]


@pytest.mark.long
def test_the_command_writes_one_run(places, tmp_path, capfd, monkeypatch):
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))
    assert main([*line_of(places, tmp_path / "alone"), "--quiet"]) == 0
    assert main([*line_of(places, tmp_path / "both", "--devices", "2"), "--json"]) == 0
    assert json.loads(capfd.readouterr().out)["run"] == str(tmp_path / "both")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["alone", "both"]
    one, two = Run(tmp_path / "alone"), Run(tmp_path / "both")
    assert two.status().state == FINISHED
    for name, value in one.weights().items():
        torch.testing.assert_close(two.weights()[name], value, **TOLERANCE)
    for expected, found in zip(one.records(), two.records(), strict=True):
        assert found["losses"] == pytest.approx(expected["losses"], abs=1e-5)


@pytest.mark.long
def test_all_processes_train_what_the_first_one_chose(places):
    """On a GPU, or with another processor, sums and so the choices of a search may differ."""
    processes = start(2, "-c", CHOOSER, *map(str, places))
    assert [process.wait(300) for process in processes] == [0, 0]
    one, other = (Run(places[2] / f"dpl-{rank}").weights() for rank in range(2))
    assert len(one["vision.values.0"]) == len(one["prompts.keys.values.0"]) == 1
    assert one.keys() == other.keys()
    assert all(torch.equal(value, other[name]) for name, value in one.items())


@pytest.mark.long
@pytest.mark.parametrize("killed", [0, 1])
def test_a_process_that_dies_ends_the_others_with_a_sentence(places, tmp_path, killed):
    line = line_of(places, tmp_path / "run", "--quiet")
    line[line.index("--epochs") + 1] = "100000"
    processes = start(2, "-m", "mocoop", *line, stderr=subprocess.PIPE)
    while not (tmp_path / "run/metrics.jsonl").exists():
        assert [process.poll() for process in processes] == [None, None]
        time.sleep(0.1)
    processes[killed].send_signal(signal.SIGKILL)
    other = processes[1 - killed]
    _, said = other.communicate(timeout=60)
    assert other.returncode == 2
    assert "Another process of this training has ended" in said
    assert "Traceback" not in said
