"""Makes `import torchaudio` work beside a CPU build of PyTorch.

The torchaudio on the package index is a CUDA build: next to a CPU PyTorch its compiled library does
not load and ``import torchaudio`` raises OSError, and with it the import of peft, pyannote.audio
and parts of transformers, none of which needs that library. Call `guard_torchaudio` before any
of them. talkover itself uses no torchaudio.
"""

from __future__ import annotations

import functools
import importlib
import importlib.util
import sys
import threading
from collections.abc import Callable
from types import ModuleType
from typing import Literal, NoReturn

GuardStatus = Literal["native", "guarded", "absent"]
"""How torchaudio is here: as it was built, without its compiled part, or not at all."""

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


@functools.cache
def _import_guarded() -> GuardStatus:
    if importlib.util.find_spec("torchaudio") is None:
        return "absent"
    try:
        importlib.import_module("torchaudio")
    except OSError:
        for name in [name for name in sys.modules if name.partition(".")[0] == "torchaudio"]:
            del sys.modules[name]  # half loaded
        sys.modules["torchaudio._extension"] = _inert_extension()
        importlib.import_module("torchaudio")
        return "guarded"
    return "native"


def _inert_extension() -> ModuleType:
    """A `torchaudio._extension` that says there is nothing compiled."""
    extension = ModuleType("torchaudio._extension", "Put in place by talkover: nothing compiled.")
    vars(extension).update(
        _IS_TORCHAUDIO_EXT_AVAILABLE=False,
        _IS_ALIGN_AVAILABLE=False,
        _IS_RIR_AVAILABLE=False,
        _check_cuda_version=lambda: None,
        fail_if_no_align=_refuse,
        fail_if_no_rir=_refuse,
    )
    return extension


def _refuse(function: Callable[..., object]) -> Callable[..., NoReturn]:
    """Decorate a function that needs the compiled library: calling it says so."""

    @functools.wraps(function)
    def refusal(*_: object, **__: object) -> NoReturn:
        raise RuntimeError(
            f"torchaudio.{function.__name__} needs torchaudio's compiled library, which does not "
            "load beside this build of PyTorch"
        )

    return refusal
