"""Many federations: which there are, what is not repeated, and what their tables say."""

from __future__ import annotations

import json
import statistics
from dataclasses import replace

import pytest

from mocoop.cli.main import main
from mocoop.errors import UserError
from mocoop.federated.comparison import Comparison, compare, folder_name, last_accuracy
from mocoop.federated.federation import RoundRecord
from mocoop.federated.settings import FederatedConfig
from mocoop.federated.store import read_records, run_federation
from mocoop.results.federated_tables import federated_tables
from tests.support.tiny_data import picture_folder, tiny_checkpoint


@pytest.fixture(autouse=True)
def own_folders(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))


@pytest.fixture(scope="module")
def settings(tmp_path_factory):
    folder = tmp_path_factory.mktemp("comparison")
    return FederatedConfig(
        data=picture_folder(folder / "pictures"),
        backbone=tiny_checkpoint(folder / "clip"),
        strategy="local",
        clients=3,
        rounds=2,
        local_epochs=1,
        shots=3,
    )


def test_a_stopped_comparison_goes_on_and_repeats_nothing(settings, tmp_path):
    comparison = Comparison(("pathological",), ("local", "fedavg"), (1, 2), settings)
    configs = comparison.configs()
    begun = run_federation(tmp_path / folder_name(configs[1]), configs[1])
    first = [next(begun), next(begun)]
    begun.close()
    found = dict(compare(comparison, tmp_path))
    assert list(found) == configs
    assert [config.strategy for config in configs] == ["local", "fedavg"] * 2
    assert found[configs[1]][:2] == first  # with the same seconds: these were not repeated
    assert all([record.number for record in records] == [0, 1, 2] for records in found.values())
    assert dict(compare(comparison, tmp_path)) == found


def test_the_command_prints_means_and_paired_gains(settings, tmp_path, capsys):
    options = ["--data", settings.data, "--backbone", settings.backbone, "--clients", "3"]
    options += ["--rounds", "2", "--local-epochs", "1", "--shots", "3", "--seeds", "1", "2"]
    options += ["--partitions", "pathological", "--strategies", "local", "fedavg"]
    page = tmp_path / "table.md"
    assert main(["federated-table", *options, "--markdown", str(page)]) == 0
    printed = capsys.readouterr().out
    assert page.read_text(encoding="utf-8") == printed
    folders = sorted((tmp_path / "runs" / "federated").iterdir())
    accuracy: dict[str, list[float]] = {}
    for path in folders:  # pictures-pathological-STRATEGY-seedN-…
        records = read_records(path)
        accuracy.setdefault(path.name.split("-")[2], []).append(last_accuracy(records))
    alone, together = accuracy["local"], accuracy["fedavg"]
    gains = [one - other for one, other in zip(together, alone, strict=True)]
    for values, sign in ((alone, ""), (together, ""), (gains, "+")):
        mean = f"{statistics.fmean(values):{sign}.1f}".replace("-", "−")
        assert f"| {mean} ± {statistics.stdev(values):.1f} |" in printed.replace("*", "")
    assert "Gain over training alone" in printed
    assert main(["federated-table", *options, "--json"]) == 0
    assert len(json.loads(capsys.readouterr().out)) == 4


def test_the_same_path_elsewhere_is_another_data_set(settings, tmp_path, monkeypatch):
    sources = set()
    for name in ("one", "two"):
        picture_folder(tmp_path / name / "pictures")
        monkeypatch.chdir(tmp_path / name)
        here = replace(settings, data="pictures")
        sources |= {c.data for c in Comparison(("domain",), ("local",), (1,), here).configs()}
    assert sources == {str(tmp_path / name / "pictures") for name in ("one", "two")}


def test_the_mean_is_of_the_last_five_rounds():
    records = [RoundRecord(number, {"a": 10.0 * number}) for number in range(8)]
    assert last_accuracy(records) == 50.0
    with pytest.raises(UserError, match="No round of the federation is finished"):
        last_accuracy(records[:1])


def test_names_of_folders_tell_settings_apart(settings):
    names = {
        folder_name(c) for c in Comparison(("domain",), ("local",), (1, 2), settings).configs()
    }
    names.add(folder_name(settings))
    assert len(names) == 3


def test_without_training_alone_there_are_no_gains():
    results = [(FederatedConfig(strategy="mocoop", seed=seed), 50.0 + seed) for seed in (1, 2)]
    (table,) = federated_tables(results)
    (cell,) = table.blocks[0].lines[0].cells
    assert (cell.mean, cell.seeds) == (51.5, 2)


@pytest.mark.parametrize(
    ("partitions", "strategies", "seeds", "message"),
    [
        ((), ("local",), (1,), "at least one of the partitions"),
        (("domain",), (), (1,), "at least one of the strategies"),
        (("domain",), ("local",), (1, 1), "seeds to compare repeat: 1, 1"),
        (("iid",), ("local",), (1,), "Unknown partition 'iid'"),
    ],
)
def test_what_cannot_be_compared_is_said(partitions, strategies, seeds, message):
    with pytest.raises(UserError, match=message):
        Comparison(partitions, strategies, seeds).configs()


def test_the_rate_of_a_gate_is_always_in_the_name():
    """Its usual value has changed: what was trained with another one is not used again."""
    usual = FederatedConfig(partition="dirichlet", strategy="pfedmoap", foreign=3)
    names = {folder_name(replace(usual, gate_rate=rate)) for rate in (0.05, 0.2)}
    assert len(names) == 2
    assert "albums-dirichlet-pfedmoap-seed1-419992d455" not in names  # of before
    # Federations without a gate keep their names.
    local = replace(usual, strategy="local")
    assert folder_name(local) == "albums-dirichlet-local-seed1-00f4690dd7"
