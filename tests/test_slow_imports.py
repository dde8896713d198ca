"""Slow modules are imported once, with the garbage collector off, and only where needed."""

from __future__ import annotations

import gc
import subprocess
import sys
from contextlib import contextmanager

import pytest
from PIL import Image

from mocoop import slow_imports
from mocoop.slow_imports import import_slow


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


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The name of a package that needs another one, which can be made to be missing."""
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "needed_example.py").write_text("")
    folder = tmp_path / "needing_example"
    folder.mkdir()
    (folder / "__init__.py").write_text(
        "from needing_example import inner\nimport needed_example\n"
    )
    (folder / "inner.py").write_text("")
    yield folder.name
    for name in ("needing_example", "needing_example.inner", "needed_example"):
        sys.modules.pop(name, None)


@contextmanager
def missing(name):
    """Makes a module missing, as the contexts of `slow_imports` do."""
    sys.modules[name] = None
    try:
        yield
    finally:
        del sys.modules[name]


def test_a_package_that_cannot_do_without_is_imported_whole(package):
    slow_imports._try_without(package, missing("needed_example"))
    assert sys.modules["needed_example"] is not None
    assert sys.modules[package].inner is sys.modules[f"{package}.inner"]


def in_new_process(code):
    """Returns what a new process prints, which has not imported anything yet."""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    return found.stdout


def test_what_is_left_out_is_there_when_it_is_asked_for():
    """The compiler compiles, and open_clip makes image towers of timm, as without all this."""
    code = """
import sys
from mocoop.slow_imports import complete_open_clip, import_slow
import_slow()
assert not {"torch._dynamo", "sympy", "timm"} & set(sys.modules)
import open_clip, torch
from open_clip.model import CLIP
from torchvision.ops.roi_align import is_compile_supported
assert open_clip.timm_model.timm is None
text = {"context_length": 8, "vocab_size": 20, "width": 8, "heads": 1, "layers": 1}
vision = {"timm_model_name": "test_vit", "timm_pool": "", "timm_proj": "linear", "image_size": 160}
complete_open_clip()
model = CLIP(4, vision, text)
assert model.encode_image(torch.zeros(1, 3, 160, 160)).shape == (1, 4)
assert type(model.visual) is open_clip.timm_model.TimmModel
assert torch.compile(lambda x: x + 1, backend="eager")(torch.ones(1)) == 2
import torch._dynamo.utils
assert is_compile_supported("cpu") == torch._dynamo.utils.is_compile_supported("cpu")
assert torch._dynamo.__file__
"""
    in_new_process(code)


LATER = ("torch._dynamo", "sympy", "timm", "transformers", "umap", "numba", "onnx", "matplotlib")
WHAT_FOR = {
    "--help": ("torch", "numpy", "PIL", "scipy", "sklearn", "streamlit", *LATER),
    "runs": ("open_clip", "torchvision", "PIL", "scipy", "sklearn", "streamlit", *LATER),
    "predict": ("scipy", "sklearn", "pandas", "plotly", "streamlit", "fastapi", *LATER),
}
"""Command → modules that it must not import: each would cost a part of a second or more."""


@pytest.mark.parametrize("command", WHAT_FOR)
def test_commands_import_only_what_they_need(command, tmp_path):
    picture = tmp_path / "grey.png"
    Image.new("RGB", (64, 64), "grey").save(picture)
    more = ["albums-mocoop-16shot", str(picture)] if command == "predict" else []
    code = f"""
import sys
from mocoop.cli.main import main
assert not main({[command, *more]})
print(*(name for name in {WHAT_FOR[command]} if name in sys.modules), sep=",", file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    assert found.stderr.splitlines()[-1] == "", "imported: " + found.stderr


def test_first_pages_import_only_what_they_need():
    """Home, which needs no torch on a new server, then the pages that somebody opens next."""
    later = ("scipy.stats", "sklearn", *LATER)  # scipy itself is imported quickly
    code = f"""
import sys
from streamlit.testing.v1 import AppTest
from app.ui import entry
from mocoop.slow_imports import import_slow
entry.DRAWN = 3600  # seconds: else a slow machine could begin to import torch in between
app = AppTest.from_file("streamlit_app.py", default_timeout=200).run()
print(*(name for name in ("torch", "pandas") if name in sys.modules))
import_slow()  # as the app does before any other page, which AppTest runs alone
for page in ("home", "train", "overfitting_lab", "federated"):
    app.switch_page(f"pages/{{page}}.py").run()
    assert not app.exception
    print(page, *(name for name in {later} if name in sys.modules))
"""
    found = in_new_process(code).splitlines()[-5:]
    assert found == ["", "home", "train", "overfitting_lab", "federated"]
