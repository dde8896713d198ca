"""The process that fits a map, where the system starts none."""

from __future__ import annotations

import pytest

from app.jobs import maps
from mocoop.analysis.projection import MapSettings
from mocoop.errors import UserError


def test_a_process_that_cannot_be_started_is_told_in_words(one_run, monkeypatch):
    def refuse(*given, **named):
        raise OSError(11, "Resource temporarily unavailable")

    monkeypatch.setattr(maps, "start_module", refuse)
    with pytest.raises(UserError, match=r"The map's process cannot be started: Resource .* Close"):
        maps.MapMaker().fit(one_run, MapSettings("umap"))
