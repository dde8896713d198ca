"""`mocoop bench --methods`: its plain side does the same steps, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch

from mocoop.bench import method_worker
from mocoop.bench.method_steps import (
    STEP_METHODS,
    MethodMeasured,
    expected_memory,
    measure_methods,
    methods_page,
    methods_table,
)
from mocoop.bench.method_worker import MethodBench, MethodCase, step_settings
from mocoop.bench.plain_methods import PlainMixture
from mocoop.bench.runner import Worker
from mocoop.bench.worker import Timing
from mocoop.cli.main import main
from tests.bench.test_bench import MACHINE
from tests.support.deep_clip import deep_backbone

SMALL = MethodCase("ours", "ivlp", 4, 3, 3, "deep")


@pytest.fixture
def deep(monkeypatch):
    """Every case has the same CLIP of three blocks; low-rank updates have no dropout."""
    backbone = deep_backbone()
    monkeypatch.setattr(method_worker, "architecture", lambda name, device: backbone)
    monkeypatch.setattr(method_worker, "step_settings", shallow_settings)
    return backbone


def shallow_settings(case):
    """Returns a method's settings for three blocks."""
    own = step_settings(case)
    depth, text = min(own.vision_depth, 3), min(own.text_depth, 3)
    lengths = {"vision_lengths": (2, 0, 5), "text_lengths": (0, 3, 1)}
    return replace(own, vision_depth=depth, text_depth=text, lora_dropout=0.0, learning_rate=0.1,
                   warmup_epochs=0, **(lengths if own.text_lengths else {}))  # fmt: skip


@pytest.mark.parametrize(
    ("method", "search"),
    [
        ("vpt", False),
        ("maple", False),
        ("promptsrc", False),
        ("dpl", False),
        ("dpl", True),
        ("clip-lora", False),
        ("mocoop-src", False),
        ("mocoop-cond", False),
    ],
)
def test_both_sides_do_the_same_steps(deep, method, search):
    """With the same images, both sides have the same loss, and learn the same in two steps."""
    case = replace(SMALL, method=method, search=search)
    ours, plain = (MethodBench(replace(case, side=side)) for side in ("ours", "plain"))
    assert isinstance(plain.model, PlainMixture)
    assert ours.parameters == plain.parameters
    if not ours.model.tunes_images:
        object.__setattr__(ours.data.train, "features", plain.image_features()[:, None])
    for bench in (ours, plain):
        if bench.model.shift is not None:  # its one hidden unit must not be dead
            torch.nn.init.ones_(bench.model.shift.squeeze.bias)
    own, exact = (b.losses(b.image_features(), b.labels)["total"] for b in (ours, plain))
    torch.testing.assert_close(own, exact, rtol=1e-5, atol=1e-5)
    start = {name: value.clone() for name, value in ours.model.state_dict().items()}
    for bench in (ours, plain):
        bench.step()
        bench.step()
    learned = [n for n, p in plain.model.named_parameters() if p.requires_grad and p.numel()]
    for name in learned:
        value, got = (bench.model.state_dict()[name] for bench in (plain, ours))
        moved = (value - start[name]).norm()
        assert moved > 0, name
        assert float((got - value).norm() / moved) < 1e-3, name


def test_a_worker_answers(deep):
    """A worker says how much is learned, and times a step and its image side."""
    bench = MethodBench(replace(SMALL, method="vpt"))
    assert bench.answer("describe") == {"parameters": 3 * 8 * 32, "texts": False}
    for command in ("step", "image"):
        timing = bench.answer(command)
        assert timing["cpu_seconds"] > 0
        assert timing["peak_bytes"] >= 0


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("raise ValueError('RN50: takes no tokens')", "RN50: takes no tokens"),
        ("import os, signal; os.kill(os.getpid(), signal.SIGKILL)", "out of memory"),
        ("raise SystemExit(7)", "exit code 7"),
    ],
)
def test_a_process_that_ended_is_told_with_its_reason(tmp_path, monkeypatch, code, why):
    (tmp_path / "ends.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    worker = Worker(SMALL, "ends")
    try:
        assert worker.read_answer() is None
        assert worker.why_ended() == f"the process ended: {why}"
    finally:
        worker.close()


def made_up():
    """Returns measurements of three methods: one is not measured plainly, one has fixed texts."""
    timings = lambda seconds: [Timing(seconds, seconds, 10**9)] * 3
    one = lambda method, side, step, image, **more: MethodMeasured(
        MethodCase(side, method), 46080, step=timings(step), image=timings(image), **more
    )
    wide = MethodMeasured(
        MethodCase("plain", "mocoop"), reason="needs about 12 GB; 4 GB were free"
    )
    return [
        one("ivlp", "ours", 3.0, 2.0), one("ivlp", "plain", 12.0, 2.0),
        one("vpt", "ours", 2.1, 2.0, texts=False), one("vpt", "plain", 2.2, 2.0, texts=False),
        one("mocoop", "ours", 0.5, 0.0), wide,
    ]  # fmt: skip


def test_table():
    """Ratios are of whole steps and of the text side; what is not measured says why."""
    ivlp, vpt, mocoop = methods_table(made_up()).splitlines()[2:]
    cells = [cell.strip() for cell in ivlp.split("|")[1:-1]]
    assert cells == [
        "IVLP",
        "46,080",
        "12",
        "3",
        "4.0",
        "2",
        "2",
        "10.0",
        "1.00 GB",
        "1.00 GB",
        "3",
    ]
    assert vpt.split("|")[8].strip() == "–"
    assert "needs about 12 GB; 4 GB were free" in mocoop
    assert "100 classes, 4 experts in a mixture" in methods_page(made_up(), MACHINE)
    case = MethodCase("plain", "mocoop")
    assert expected_memory(case) == 4 * expected_memory(replace(case, method="ivlp"))
    assert expected_memory(replace(case, side="ours")) == 0
    # One image and its two experts at a time.
    assert expected_memory(replace(case, method="mocoop-cond")) == expected_memory(case) / 2


def test_a_search_has_a_row_of_its_own(monkeypatch):
    """It follows the training of its method; that has the largest lengths in every block."""
    timings = [Timing(1.0, 1.0, 10**9)]
    monkeypatch.setattr(
        "mocoop.bench.method_steps.by_turns",
        lambda cases, *others: [
            MethodMeasured(case, 1, step=timings, image=timings) for case in cases
        ],
    )
    base = MethodCase("ours", "coop")
    *_, results = measure_methods(base, ("vpt", "dpl"), 1, 1.0, print)
    assert [(one.case.method, one.case.search) for one in results[::2]] == [
        ("vpt", False), ("dpl", False), ("dpl", True),
    ]  # fmt: skip
    rows = methods_table(results).splitlines()[2:]
    names = [row.split("|")[1].strip() for row in rows]
    assert names == ["VPT", "DPL", "DPL, its search"]
    training, search = (step_settings(results[at].case) for at in (2, 4))
    assert training.text_keys == training.vision_keys == search.text_keys == (6,) * 12
    assert (training.searches_lengths, search.searches_lengths) == (False, True)
    plain = results[3].case, results[5].case
    assert expected_memory(plain[1]) > 4 * expected_memory(plain[0])  # seven attentions per block


def test_the_command_writes_page_and_data(tmp_path, monkeypatch, capsys):
    """--methods prints the table, and writes it with its data where it is told to."""
    found, asked = made_up(), []

    def measure(base, methods, *others):
        asked.append(methods)
        return iter([found[:2], found])

    monkeypatch.setattr("mocoop.bench.method_steps.measure_methods", measure)
    assert main(["bench", "--methods", "--out", str(tmp_path)]) == 0
    assert main(["bench", "--methods", "--only", "mocoop", "ivlp"]) == 0
    assert asked == [STEP_METHODS, ("mocoop", "ivlp")]
    assert "| IVLP | 46,080 |" in capsys.readouterr().out
    saved = json.loads((tmp_path / "bench-methods.json").read_text())
    assert len(saved["methods"]) == 6
    assert "| VPT |" in (tmp_path / "bench-methods.md").read_text()
    assert main(["bench", "--methods", "--quick"]) == 2
    assert "other steps than --quick" in capsys.readouterr().err
    assert main(["bench", "--methods", "--only", "mocop"]) == 2
    assert "Did you mean 'mocoop'?" in capsys.readouterr().err
    assert main(["bench", "--only", "mocoop"]) == 2
    assert "add --methods" in capsys.readouterr().err


def test_frozen_images_cost_nothing(deep):
    """Our side has the features of frozen images at hand; the plain side encodes them."""
    ours, plain = (MethodBench(replace(SMALL, method="coop", side=s)) for s in ("ours", "plain"))
    assert ours.image_features() is not None
    assert torch.allclose(plain.image_features().norm(dim=-1), torch.ones(3))
