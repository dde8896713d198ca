"""Imports modules that take long, once, quickly, and without what no CLIP needs.

open_clip imports torchvision and timm. Two places in them ask for torch's compiler, which brings
sympy and a thousand other modules: over a third of the time that importing open_clip takes. Here
open_clip is imported without timm, which it can do without, and torchvision without the compiler.
Both are imported when something asks for them, or if the import without them fails.
"""

from __future__ import annotations

import gc
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from importlib import import_module, reload
from types import ModuleType
from typing import Any

COMPILER, USED = "torch._dynamo", "torch._dynamo.utils"
TIMM = "timm"
_ONE_AT_A_TIME = threading.Lock()


def import_slow(names: Sequence[str] = ("open_clip",)) -> None:
    """Imports modules if they are not imported yet; those of a CLIP first.

    Modules such as torch create hundreds of thousands of objects that are never freed. The
    garbage collector is off during the import, where it would take a fifth of the time.
    Afterwards the objects are frozen, because every later full collection would take 0.2 s to
    look through them. A thread waits while another one imports.
    """
    with _ONE_AT_A_TIME:
        if not all(name in sys.modules for name in names):
            _import_slow(names)


def _import_slow(names: Sequence[str]) -> None:
    collects = gc.isenabled()
    gc.disable()
    try:
        import_open_clip()
        for name in names:
            import_module(name)
        gc.freeze()
    finally:
        if collects:
            gc.enable()


def import_open_clip() -> None:
    """Imports torch, torchvision and open_clip without torch's compiler and without timm."""
    import_module("torch")
    if COMPILER not in sys.modules:
        _try_without("torchvision", _stand_in_for_compiler())
    if TIMM not in sys.modules:
        _try_without("open_clip", _timm_missing())


def complete_open_clip() -> None:
    """Gives open_clip timm, which image towers of timm need, if it was imported without it."""
    module: Any = sys.modules.get("open_clip.timm_model")
    if module is not None and getattr(module, TIMM, None) is None:
        known = module.TimmModel
        reload(module)
        module.TimmModel = known  # open_clip has this one; it looks its names up in the module


def _try_without(name: str, missing: AbstractContextManager[None]) -> None:
    """Imports a package while something is missing; as usual if it cannot do without."""
    if name in sys.modules:
        return
    before = set(sys.modules)
    try:
        with missing:
            import_module(name)
    except (ImportError, AttributeError, TypeError):
        for half in set(sys.modules) - before:
            if half.split(".")[0] == name:
                del sys.modules[half]
        import_module(name)


@contextmanager
def _timm_missing() -> Iterator[None]:
    """Makes `import timm` fail, as where it is not installed: None does that in `sys.modules`."""
    sys.modules[TIMM] = None  # type: ignore[assignment]
    try:
        yield
    finally:
        if sys.modules.get(TIMM) is None:
            sys.modules.pop(TIMM, None)


@contextmanager
def _stand_in_for_compiler() -> Iterator[None]:
    """Puts modules with one lazy function in the place of torch's compiler."""
    package, used = ModuleType(COMPILER), ModuleType(USED)
    package.__path__ = []
    package.utils = used  # type: ignore[attr-defined]
    used.is_compile_supported = _is_compile_supported  # type: ignore[attr-defined]
    sys.modules[COMPILER], sys.modules[USED] = package, used
    try:
        yield
    finally:
        for name, module in ((COMPILER, package), (USED, used)):
            if sys.modules.get(name) is module:
                del sys.modules[name]
        torch = sys.modules["torch"]
        if vars(torch).get("_dynamo") is package:
            del torch._dynamo


def _is_compile_supported(device_type: Any) -> Any:
    """Returns what torch's function of this name returns."""
    return import_module(USED).is_compile_supported(device_type)
