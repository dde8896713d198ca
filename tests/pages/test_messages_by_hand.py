"""Messages to the server that no browser sends: no traceback comes back, and nothing is written.

They come over a real connection: widgets that do not exist, values of wrong types, huge texts,
bytes that are no message, and buttons that a read-only server does not show.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
from contextlib import contextmanager, suppress
from pathlib import Path

import psutil
import pytest
from streamlit.proto.BackMsg_pb2 import BackMsg
from streamlit.proto.ForwardMsg_pb2 import ForwardMsg
from streamlit.proto.WidgetStates_pb2 import WidgetState
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.browser.conftest import free_port, wait_for

# A visitor keeps its connection for as long as it lives: websockets would rather have a block.
pytestmark = [pytest.mark.long, pytest.mark.filterwarnings("ignore:connect\\(\\) must be used")]
ROOT = Path(__file__).resolve().parents[2]
PAGES = ("train", "compare", "data")
HUGE = "x" * 1_000_000
SECONDS = 120


def value(name: str, widget: str) -> WidgetState:
    """Returns a widget's state with an odd value of one kind."""
    state = WidgetState(id=widget)
    if name in ("trigger_value", "bool_value"):
        setattr(state, name, True)
    elif name == "double_value":
        state.double_value = float("nan")
    elif name == "int_value":
        state.int_value = -(2**53)
    elif name in ("string_value", "json_value", "json_trigger_value"):
        setattr(state, name, "{" * 1000)
    elif name == "double_array_value":
        state.double_array_value.data.extend([float("inf"), float("nan"), -1e308])
    elif name == "int_array_value":
        state.int_array_value.data.extend([-1, 10**9, 2**53])
    elif name == "string_array_value":
        state.string_array_value.data.extend(["", "\0", "no such choice"])
    elif name == "bytes_value":
        state.bytes_value = b"\xff\x00" * 100
    elif name == "string_trigger_value":
        state.string_trigger_value.data = "odd"
    elif name == "file_uploader_state_value":
        info = state.file_uploader_state_value.uploaded_file_info.add()
        info.file_id, info.name, info.size = "../../etc/passwd", "../x", 2**40
    return state


KINDS = (
    *("trigger_value", "bool_value", "double_value", "int_value", "string_value", "json_value"),
    *("double_array_value", "int_array_value", "string_array_value", "bytes_value"),
    *("string_trigger_value", "json_trigger_value", "file_uploader_state_value"),
)


class Visitor:
    """A session that sends what it likes, and keeps what comes back of widgets and errors."""

    def __init__(self, address: str) -> None:
        url = f"ws://{address}/_stcore/stream"
        self.socket = connect(url, subprotocols=["streamlit"], max_size=None)
        self.widgets: dict[str, str] = {}  # id → kind of element
        self.buttons: dict[str, str] = {}  # id → label
        self.errors: list[str] = []

    def send(self, message: BackMsg) -> None:
        self.socket.send(message.SerializeToString())

    def look_at(self, page: str, *states: WidgetState, query: str = "") -> None:
        """Asks for a page, and returns when its script has ended."""
        message = BackMsg()
        message.rerun_script.page_name = page
        message.rerun_script.query_string = query
        message.rerun_script.widget_states.widgets.extend(states)
        self.send(message)
        while True:
            answer = ForwardMsg.FromString(self.socket.recv(timeout=SECONDS))
            self._keep(answer)
            if answer.WhichOneof("type") == "script_finished":
                return

    def _keep(self, answer: ForwardMsg) -> None:
        element = answer.delta.new_element
        kind = element.WhichOneof("type")
        if kind == "exception":
            error = element.exception
            self.errors.append("\n".join([error.message, *error.stack_trace]))
        found = getattr(element, kind) if kind else None
        if getattr(found, "id", ""):
            self.widgets[found.id] = kind
            if kind == "button":
                self.buttons[found.id] = found.label


@contextmanager
def server(folder: Path, **variables: str):
    """Yields the address of an app that is running, whose folders are its own."""
    port = free_port()
    command = [sys.executable, "-m", "streamlit", "run", "streamlit_app.py"]
    command += ["--server.headless", "true", "--server.port", str(port)]
    folders = {f"MOCOOP_{name.upper()}": str(folder / name) for name in ("runs", "data", "cache")}
    for path in folders.values():
        Path(path).mkdir(parents=True, exist_ok=True)
    environment = os.environ | folders | {"MOCOOP_STANDBY": "0"} | variables
    with (folder / "log.txt").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
    try:
        wait_for(f"http://127.0.0.1:{port}/_stcore/health", SECONDS)
        yield f"127.0.0.1:{port}", process
    finally:
        children = psutil.Process(process.pid).children(recursive=True)
        process.kill()
        process.wait(20)
        for child in children:
            with suppress(psutil.Error):
                child.kill()


def content(folder: Path) -> dict[Path, bytes]:
    files = [*(folder / "runs").rglob("*"), *(folder / "data").rglob("*")]
    return {path: path.read_bytes() for path in files if path.is_file()}


def test_no_message_gets_a_traceback_or_writes(tmp_path):
    with server(tmp_path / "writable") as (address, _):
        visitor = Visitor(address)
        hidden: dict[str, str] = {}
        for page in PAGES:
            visitor.look_at(page)
        hidden |= visitor.buttons
        assert "Start training" in hidden.values()
        assert visitor.errors == []
    folder, errors = tmp_path / "read-only", []
    with server(folder, MOCOOP_READ_ONLY="1") as (address, process):
        visitor = Visitor(address)
        for page in PAGES:
            visitor.look_at(page)
        before, shown = content(folder), set(visitor.buttons)
        assert visitor.errors == []
        assert "Start training" not in visitor.buttons.values()
        known = dict(visitor.widgets)
        for page in PAGES:
            # Buttons of a server that is not read-only, all at once and each alone.
            other = Visitor(address)
            other.look_at(page, *(value("trigger_value", widget) for widget in hidden))
            for widget in set(hidden) - shown:
                other.look_at(page, value("trigger_value", widget))
            # Addresses that no link has.
            other.look_at(page, query="run=" + HUGE)
            other.look_at(page, query="a=%00&a=%ff&=&&run=..%2f..%2fx")
            assert other.errors == []
            # Widgets that do not exist; values of wrong types, which a session keeps.
            odd = [[value(kind, f"$$ID-{kind}-None") for kind in KINDS],
                   [value("string_value", HUGE + str(number)) for number in range(2)]]  # fmt: skip
            odd += [[value(kind, widget) for widget in known] for kind in KINDS]
            for states in odd:
                other = Visitor(address)
                other.look_at(page, *states)
                errors += other.errors
        visitor.look_at("no such page")
        assert content(folder) == before
        assert not psutil.Process(process.pid).children(recursive=True)
        assert errors  # Streamlit refuses some values by an error: its type is all that is shown
        told = {error for error in errors if ".py" in error or "JSON" in error}
        assert told == set()
        sends_what_is_no_message(address)
        again = Visitor(address)
        again.look_at("train")
        assert again.errors == []
        assert process.poll() is None


def sends_what_is_no_message(address: str) -> None:
    """Each on a connection of its own, which the server may close."""
    dice = random.Random(1)
    asked = [BackMsg(debug_shutdown_runtime=True), BackMsg(debug_disconnect_websocket=True),
             BackMsg(clear_cache=True), BackMsg(stop_script=True)]  # fmt: skip
    parts = [message.SerializeToString() for message in asked]
    parts += [b"", "text", b"\xff" * 100, dice.randbytes(100_000)]
    for part in parts:
        visitor = Visitor(address)
        with suppress(ConnectionClosed, TimeoutError):
            visitor.socket.send(part)
            visitor.socket.recv(timeout=1)
        visitor.socket.close()
