"""Slow modules are imported once, with the garbage collector off."""

from __future__ import annotations

import gc
import sys

import pytest

from app.common.imports import import_slow


@pytest.fixture
def module(tmp_path, monkeypatch):
    """The name of a module that notes whether the garbage collector is on."""
    (tmp_path / "slow_example.py").write_text("import gc\nCOLLECTS = gc.isenabled()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    yield "slow_example"
    sys.modules.pop("slow_example", None)
    gc.unfreeze()


def test_collector_is_off_only_meanwhile(module):
    import_slow((module,))
    assert not sys.modules[module].COLLECTS
    assert gc.isenabled()


def test_collector_is_on_again_after_an_error():
    with pytest.raises(ModuleNotFoundError):
        import_slow(("no_such_module_anywhere",))
    assert gc.isenabled()


def test_imported_before(module):
    import_slow((module,))
    gc.unfreeze()
    import_slow((module,))
    assert gc.get_freeze_count() == 0
