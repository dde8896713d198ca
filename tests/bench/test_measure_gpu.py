"""The script that measures a GPU works from end to end, here with small sizes on the processor."""

from __future__ import annotations

import json

import pytest

from tests.measure_gpu import PARTS, PRECISIONS, Command, measure


@pytest.mark.long
def test_all_parts_are_measured_and_ours_is_exact(tmp_path):
    found = measure(Command(tmp_path, device="cpu", minutes=0.5, small=True))
    assert json.loads((tmp_path / "gpu.json").read_text()) == found
    for part, _ in PARTS:
        assert "error" not in found[part.__name__]
        assert len(found[part.__name__].keys() - {"stopped", "left_gib"}) >= 1
    errors = found["correctness"]
    assert set(PRECISIONS) <= errors.keys()
    assert errors["fp32"]["loss_error"] < 1e-5
    assert errors["fp32"]["gradient_error"] < 1e-4
    assert errors["bf16"]["gradient_cosine"] > 0.999
    faster = found["steps"]
    assert faster["ours 4 × 2 fp32"]["tokens"] < faster["plain 4 × 2 fp32"]["tokens"]


def test_what_fails_is_told_and_the_others_go_on(tmp_path, monkeypatch):
    def breaks(measuring):
        raise RuntimeError("out of memory")
        yield

    def works(measuring):
        yield "one", {"seconds": 1.0}
        measuring.end = 0.0
        yield "two", {"seconds": 1.0}
        yield "three", {"seconds": 1.0}

    monkeypatch.setattr("tests.measure_gpu.PARTS", ((breaks, 0.5), (works, 0.5)))
    found = measure(Command(tmp_path, device="cpu", small=True))
    assert found["breaks"]["error"] == "out of memory"
    assert found["works"].keys() >= {"one", "two", "stopped"}
    assert "three" not in found["works"]
