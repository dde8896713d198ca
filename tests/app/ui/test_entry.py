"""Torch is imported in a thread once Home is there, and only once."""

from __future__ import annotations

import threading

from app.ui import entry


def test_imports_start_once_in_a_thread(monkeypatch):
    started, threads = threading.Semaphore(0), []

    def slow():
        threads.append(threading.current_thread())
        started.release()

    monkeypatch.setattr(entry, "import_slow", slow)
    monkeypatch.setattr(entry, "DRAWN", 0.0)
    entry.import_soon.cache_clear()
    try:
        entry.import_soon()
        entry.import_soon()
        assert started.acquire(timeout=30)
        assert not started.acquire(timeout=0.2)
    finally:
        entry.import_soon.cache_clear()
    (thread,) = threads
    assert thread is not threading.main_thread()
    assert thread.daemon
