"""`mocoop bench`: its plain path, its cases, and what it writes."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F

from mocoop.bench.page import page_text
from mocoop.bench.plain_path import plain_text_features
from mocoop.bench.runner import MEMORY_SHARE, Measured, _take_turns, expected_bytes, plan
from mocoop.bench.worker import Bench, Case, Timing, class_names, groups_of
from mocoop.cli.main import main
from tests.support import reference
from tests.support.soft_prompts import NAMES, TEMPLATES, relative_error, soft_blocks

SMALL = Case("ours", "frozen", 5, 3, backbone="demo", batch=4)
MACHINE = {
    "date": "2026-01-01", "processor": "abacus", "cores": 2, "memory_gb": 4, "gpu": None,
    "torch": "2", "load": 0.5, "text_memory_gib": "3",
}  # fmt: skip


def test_plain_path_is_the_reference(tiny_backbone, tokenizer):
    """The plain path's features and gradients are those of the tests' loop."""
    tower = tiny_backbone.text
    befores, afters = soft_blocks(tower, TEMPLATES[1:3])
    blocks = [block for block in befores + afters if len(block)]
    found = torch.stack(
        [plain_text_features(tower, NAMES, *pair) for pair in zip(befores, afters, strict=True)]
    )
    expected = reference.encode_prompts(tiny_backbone.model, tokenizer, befores, NAMES, afters)
    assert relative_error(found.detach(), expected.detach()) < 1e-5
    pull = torch.randn(found.shape, generator=torch.Generator().manual_seed(1))
    got = torch.autograd.grad((found * pull).sum(), blocks)
    wanted = torch.autograd.grad((expected * pull).sum(), blocks)
    for one, other in zip(got, wanted, strict=True):
        assert relative_error(one, other) < 1e-5


@pytest.mark.parametrize("recipe", ["frozen", "tuned"])
def test_both_sides_do_the_same_steps(recipe):
    """With the same images, two steps of the plain path and of ours learn the same weights."""
    ours = Bench(replace(SMALL, recipe=recipe))
    plain = Bench(replace(SMALL, recipe=recipe, side="plain"))
    if recipe == "frozen":
        pictures = plain.pictures
        with torch.no_grad():
            features = ours.model.image_features(ours.backbone.model.visual, pictures)
        object.__setattr__(ours.data.train, "features", F.normalize(features, dim=-1)[:, None])
    else:
        plain.pictures = ours.data.train._pictures(range(SMALL.batch), None)
    start = {name: value.clone() for name, value in ours.model.state_dict().items()}
    for bench in (ours, plain):
        bench.step()
        bench.step()
    for name, value in plain.model.state_dict().items():
        got = ours.model.state_dict()[name]
        moved = (value - start[name]).norm()
        assert moved > 0, name
        assert float((got - value).norm() / moved) < 1e-2, name


def test_a_worker_counts():
    """Tokens and operations are those of what a step encodes."""
    bench = Bench(SMALL)
    found = bench.answer("describe")
    plain = Bench(replace(SMALL, side="plain")).answer("describe")
    assert plain["tokens"] == 5 * 3 * 77
    assert 5 * 3 * 3 < found["tokens"] < 5 * 3 * 12
    assert plain["operations"] > 5 * found["operations"]
    rates = bench.products(repeats=1)
    assert min(rates.values()) > 1e8
    timing = bench.answer("step")
    assert timing["seconds"] > 0
    assert timing["peak_bytes"] >= 0


def test_names_and_groups():
    """Sizes of real class names, and distinct templates for any number of experts."""
    assert len(set(class_names(1000))) > 990
    for count in (1, 6, 20):
        groups = groups_of(count)
        assert len(set(groups.values())) == count
        assert all("{}" in template for (template,) in groups.values())


def test_plan():
    """The whole plan has every size with both sides and both recipes; the quick one a few."""
    whole, quick = (plan("demo", "cpu", 1, 5, 60.0, quick) for quick in (False, True))
    cases = {case for group in whole.cases for case in group}
    for classes in (10, 100, 1000):
        for experts in (1, 6, 20):
            for side in ("plain", "ours"):
                case = Case(side, "frozen", classes, experts, backbone="demo")
                assert case in cases
    assert any(case.recipe == "tuned" and case.precision == "bf16" for case in cases)
    assert all(group[0].side == "plain" for group in whole.cases)
    small = [(c.side, c.recipe, c.classes, c.experts) for g in quick.cases for c in g]
    assert small == [
        ("plain", "frozen", 10, 1),
        ("ours", "frozen", 10, 1),
        ("plain", "frozen", 10, 6),
        ("ours", "frozen", 10, 6),
        ("ours", "frozen", 100, 6),
    ]


def small_results(**changes):
    """Returns made-up measurements of both sides: the plain side takes 10 s and 10 GB."""
    base = Case("ours", "frozen", 100, 6)
    step = lambda seconds, size: [Timing(seconds, seconds, size)] * 3
    rates = [{"by_clock": 1e11, "by_cpu": 1e11}]
    ours = Measured(base, step(0.5, 10**9), [], rates, 400, 3 * 10**10)
    plain = Measured(replace(base, side="plain"), step(10.0, 10**10), tokens=46200)
    large = Measured(replace(base, side="plain", classes=1000), reason="needs about 100 GB")
    return [plain, ours, large]


def test_page_says_what_was_measured():
    """Ratios, shares and what was not measured stand in the tables as they are."""
    text = page_text(small_results(), MACHINE, "scaling.png", "## Notes\n\nNothing helped.")
    row = next(line for line in text.splitlines() if line.startswith("| 100 | 6 | ours"))
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells[3:9] == ["3", "0.5", "0.5", "20.0", "1.00 GB", "10.0 %"]
    assert cells[11] == "60 %"
    assert "| 1000 | 6 | plain, fp32 | 0 | not measured: needs about 100 GB |" in text
    assert "| 100 classes, 6 experts: times faster (target: 50) | 20.00 | no |" in text
    assert "| 100 classes, 6 experts: memory, ours / plain (target: 1/10) | 0.10 | yes |" in text
    assert "| 10 classes, 6 experts: times faster (target: 30) | not measured | – |" in text
    assert "Nothing helped." in text


def test_sides_that_would_not_fit_are_left_out(monkeypatch):
    """A plain step that would take more than the free memory is not begun."""
    plain, ours, _ = small_results()
    wide = replace(plain.case, classes=1000)
    assert expected_bytes(wide, [plain, ours]) == 10 * plain.peak_bytes
    assert expected_bytes(replace(ours.case, classes=1000), [plain, ours]) == 0
    free = 10 * plain.peak_bytes / MEMORY_SHARE - 1
    monkeypatch.setattr("psutil.virtual_memory", lambda: type("Memory", (), {"available": free})())
    chosen = plan("demo", "cpu", 1, 1, 1.0, True)
    (found,) = _take_turns((wide,), chosen, [plain], lambda text: None)
    assert found.reason == ("needs about 100 GB, 118 GB with a margin of 15 %; 118 GB were free")
    assert not found.step


@pytest.fixture
def small_plan(monkeypatch):
    """A measurement of one size; returns what was asked of the plan."""
    asked: list[tuple] = []
    tuned = replace(SMALL, recipe="tuned")
    whole = plan("demo", "cpu", 1, 2, 60.0, True)
    small = replace(whole, cases=((replace(tuned, side="plain"), tuned),))
    monkeypatch.setattr("mocoop.bench.runner.plan", lambda *args: asked.append(args) or small)
    return asked


@pytest.mark.long
def test_bench_command(tmp_path, small_plan, capsys):
    """The command measures in processes of its own and writes page, JSON and curves if asked."""
    folder = tmp_path / "measured"
    assert main(["bench", "--out", str(folder), "--backbone", "demo", "--json"]) == 0
    printed = json.loads(capsys.readouterr().out)
    saved = json.loads((folder / "bench.json").read_text())
    assert printed == saved
    plain, ours = saved["results"]
    assert [len(result["step"]) for result in saved["results"]] == [2, 2]
    assert plain["cpu_seconds"] > ours["cpu_seconds"]
    assert ours["share_of_product_rate"] is None
    assert ours["beside_image_tower"] > 1
    assert "(scaling.png)" in (folder / "BENCHMARKS.md").read_text()
    assert (folder / "scaling.png").read_bytes().startswith(b"\x89PNG")
    assert len(list(folder.iterdir())) == 3
    assert small_plan[0][3] == 5


@pytest.fixture
def made_up(monkeypatch):
    """Measurements at once instead of by processes."""
    monkeypatch.setattr("mocoop.bench.runner.measure", lambda *args: iter([small_results()]))


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    """A folder that looks like the project's, with a page of its own, as the current one."""
    (tmp_path / "assets" / "bench").mkdir(parents=True)
    (tmp_path / "assets" / "bench" / "notes.md").write_text("## Remarks\n")
    (tmp_path / "BENCHMARKS.md").write_text("the whole one")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def everything(folder):
    """Returns the names of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_nothing_is_written_unasked(checkout, made_up, capsys):
    """Without --out or --write the table is printed, and no file comes or changes."""
    before = everything(checkout)
    assert main(["bench", "--quick"]) == 0
    printed = capsys.readouterr()
    assert "ours fp32" in printed.out
    assert "20.0" in printed.out
    assert "not measured: needs about 100 GB" in printed.out
    assert "about 3 minutes" in printed.err
    assert everything(checkout) == before
    assert (checkout / "BENCHMARKS.md").read_text() == "the whole one"


def test_write_replaces_the_projects_page(checkout, made_up):
    """--write writes the page with its remarks, JSON and curves where the project has them."""
    assert main(["bench", "--write"]) == 0
    assert "## Remarks" in (checkout / "BENCHMARKS.md").read_text()
    assert "(assets/bench/scaling.png)" in (checkout / "BENCHMARKS.md").read_text()
    names = ["BENCHMARKS.md", *(f"assets/bench/{n}" for n in ("bench.json", "notes.md"))]
    assert everything(checkout) == [*names, "assets/bench/scaling.png"]


def test_a_quick_page_has_names_of_its_own(checkout, made_up):
    """Even in the project's own folder, a quick measurement replaces nothing."""
    assert main(["bench", "--quick", "--out", "."]) == 0
    assert (checkout / "BENCHMARKS.md").read_text() == "the whole one"
    assert {"bench-quick.md", "bench-quick.json", "bench-quick.png"} <= set(everything(checkout))


def test_a_stopped_measurement_keeps_what_it_has(checkout, monkeypatch, capsys):
    """Ctrl-C leaves the page alone and keeps what was measured beside it, if asked to write."""

    def stopping(*args):
        yield small_results()
        raise KeyboardInterrupt

    monkeypatch.setattr("mocoop.bench.runner.measure", stopping)
    before = everything(checkout)
    assert main(["bench"]) == 130
    assert "ours fp32" in capsys.readouterr().err
    assert everything(checkout) == before
    assert main(["bench", "--write"]) == 130
    assert "bench.partial.json" in capsys.readouterr().err
    assert (checkout / "BENCHMARKS.md").read_text() == "the whole one"
    assert len(json.loads((checkout / "assets/bench/bench.partial.json").read_text())) == 2


@pytest.mark.parametrize(
    ("option", "match"),
    [
        (["--repeats", "0"], "repeats must be at least 1"),
        (["--device", "abacus"], "Device"),
        (["--write", "--quick"], "cannot be used with --quick"),
        (["--write", "--out", "here"], "cannot be used with --out"),
        (["--write"], "Run it in the folder of a checkout"),
        (["--out", "page.md"], "expected a folder"),
        (["--out", "missing/folder"], "does not exist"),
    ],
)
def test_mistakes_are_told_first(tmp_path, monkeypatch, capsys, option, match):
    """Nothing is measured or written for options that make no sense."""
    monkeypatch.chdir(tmp_path)
    assert main(["bench", *option]) == 2
    assert match in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
