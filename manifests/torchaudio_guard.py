"""Makes `import torchaudio` work beside a CPU build of PyTorch.

The torchaudio on the package index is a CUDA build: next to a CPU PyTorch its compiled library does
not load and ``import torchaudio`` raises OSError, and with it the import of peft, pyannote.audio
and parts of transformers, none of which needs that library. Call `guard_torchaudio` before any
of them, or `guard_when_imported`, which costs nothing until then. talkover itself uses no
torchaudio.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable, Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType
from typing import Literal, NoReturn

GuardStatus = Literal["native", "guarded", "absent"]
"""How torchaudio is here: as it was built, without its compiled part, or not at all."""

EXTENSION = "torchaudio._extension"
"""The module of torchaudio that loads the compiled library."""

INERT = "_without_compiled_part"
"""Attribute of what stands in for it."""

_lock = threading.Lock()


def guard_torchaudio() -> GuardStatus:
    """Import torchaudio, without its compiled library if that does not load.

    Forced alignment and the RIR extension then raise RuntimeError when called; everything else
    works. Calling it again costs nothing.

    Raises:
        Exception: If torchaudio is broken in some other way, whatever its import raises.
    """
    with _lock:
        return _import_guarded()


def guard_when_imported() -> None:
    """Do the same at the first import of torchaudio, whoever asks for it."""
    with _lock:
        if not any(isinstance(finder, _ExtensionFinder) for finder in sys.meta_path):
            sys.meta_path.insert(0, _ExtensionFinder())


class _ExtensionFinder(MetaPathFinder):
    """Finds `torchaudio._extension` where it lies, and lets its failure pass."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of that one module, with a loader that forgives."""
        if fullname != EXTENSION:
            return None
        spec = PathFinder.find_spec(fullname, path)
        if spec is not None and spec.loader is not None:
            spec.loader = _ForgivingLoader(spec.loader)
        return spec


class _ForgivingLoader(Loader):
    """Runs a module; where its library does not load, nothing compiled is there."""

    def __init__(self, real: Loader) -> None:
        self.real = real

    def exec_module(self, module: ModuleType) -> None:
        """Run the real module first."""
        try:
            self.real.exec_module(module)
        except OSError:
            vars(module).update(_inert_values())

    def create_module(self, spec: ModuleSpec) -> ModuleType | None:
        """Leave that to Python."""
        return None


@functools.cache
def _import_guarded() -> GuardStatus:
    if importlib.util.find_spec("torchaudio") is None:
        return "absent"
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]  # half loaded
        sys.modules[EXTENSION] = _inert_extension()
        importlib.import_module("torchaudio")
    return "guarded" if hasattr(sys.modules.get(EXTENSION), INERT) else "native"


def _inert_extension() -> ModuleType:
    """A `torchaudio._extension` that says there is nothing compiled."""
    extension = ModuleType(EXTENSION, "Put in place by talkover: nothing compiled.")
    vars(extension).update(_inert_values())
    return extension


def _inert_values() -> dict[str, object]:
    return {
        INERT: True,
        "_IS_TORCHAUDIO_EXT_AVAILABLE": False,
        "_IS_ALIGN_AVAILABLE": False,
        "_IS_RIR_AVAILABLE": False,
        "_check_cuda_version": lambda: None,
        "fail_if_no_align": _refuse,
        "fail_if_no_rir": _refuse,
    }


def _refuse(function: Callable[..., object]) -> Callable[..., NoReturn]:
    """Decorate a function that needs the compiled library: calling it says so."""

    @functools.wraps(function)
    def refusal(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(
            f"torchaudio.{function.__name__} needs torchaudio's compiled library, which does not "
            "load beside this build of PyTorch"
        )

    return refusal
