"""Starting the app as `make app` does, by someone who has never started Streamlit before."""

from __future__ import annotations

import os
import subprocess
import sys
import time
import urllib.error
import urllib.request

from tests.browser.conftest import ROOT, free_port


def test_first_start_asks_nothing(tmp_path):
    """Without an answer at hand, a question in the terminal would end the server."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    environment = os.environ | {"HOME": str(tmp_path), "BROWSER": "true"}
    process = subprocess.Popen(
        [*command, "--server.port", str(port)],
        cwd=ROOT,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
    )
    try:
        assert _answers(f"http://127.0.0.1:{port}/_stcore/health", process)
    finally:
        process.kill()
        process.wait(20)


def _answers(address: str, process: subprocess.Popen) -> bool:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and process.poll() is None:
        try:
            with urllib.request.urlopen(address, timeout=5) as answer:
                return answer.status == 200
        except (urllib.error.URLError, OSError):
            time.sleep(0.2)
    return False
