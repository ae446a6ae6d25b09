"""What works on this machine, what does not, and the command that mends it.

`examine` never raises and changes nothing. Remedies are commands for a clone of the repository: the
package is on no index, and its dependencies have tested versions only through ``constraints.txt``.
"""

from __future__ import annotations

import importlib
import importlib.util
import io
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talkover.manifests import extras
from talkover.manifests.attempts import usable_cores
from talkover.manifests.torchaudio_guard import guard_torchaudio

Status = Literal["ok", "missing", "broken"]

OLDEST_PYTHON = (3, 11)
LEAST_FREE_GB = 5.0
"""An environment with everything takes 2.6 GB, and the output of a first run needs a place."""
LEAST_MEMORY_GB = 4.0
"""Two workers and a loaded PyTorch stay below it."""

INSTALL = "pip install -c constraints.txt -e ."
"""Mends the core in a clone."""

_INSTALL_FFMPEG = "sudo apt-get install ffmpeg  # macOS: brew install ffmpeg"
_INSTALL_COMPILER = "sudo apt-get install g++  # macOS: xcode-select --install"
_GIB = 2**30  # bytes
_CODECS = {
    "wav": ("WAV", "PCM_16"),
    "flac": ("FLAC", "PCM_16"),
    "ogg": ("OGG", "VORBIS"),
    "mp3": ("MP3", "MPEG_LAYER_III"),
}


@dataclass(frozen=True, kw_only=True)
class Check:
    """One thing that was looked at."""

    name: str
    status: Status
    detail: str
    """Version or figures if ok; else what is wrong, in one line."""
    remedy: str = ""
    """A command or a step; empty if there is nothing to mend."""
    required: bool = False
    """Without it nothing works; anything else is needed by some commands only."""


def examine(*, deep: bool = False) -> list[Check]:
    """Look at everything that talkover may need.

    Args:
        deep: Also import every installed package of the extras, each in a process of its own;
            takes a minute or two. Otherwise their versions are compared.
    """
    checks = [
        _guarded("python", _python, required=True),
        _guarded("torch", _torch, required=True),
        _guarded("torchaudio", _torchaudio, remedy=extras.install_command("annotate")),
        _guarded("lhotse", _lhotse, required=True),
        *(
            _guarded(f"codec {name}", _codec(name), required=name in ("wav", "flac"))
            for name in _CODECS
        ),
        _guarded("ffmpeg", lambda: _ffmpeg(deep)),
        _guarded("gpu", _gpu),
        _guarded("ray", _ray),
        _guarded("compiler", _compiler),
        _guarded("disk", _disk),
        _guarded("temporary folder", _temporary_folder, required=True),
        _guarded("memory", _memory),
        _guarded("cores", lambda: _ok("cores", f"{usable_cores()} of {os.cpu_count()}")),
    ]
    return [*checks, *_extras(deep)]


def _guarded(
    name: str, look: Callable[[], Check], *, required: bool = False, remedy: str = INSTALL
) -> Check:
    """A check; whatever it raises makes it `broken`, since half of all packages fail oddly."""
    try:
        check = look()
    except Exception as error:
        check = Check(name=name, status="broken", detail=_first_line(error), remedy=remedy)
    return Check(**{**vars(check), "required": required})


def _first_line(error: BaseException) -> str:
    text = next((line for line in str(error).splitlines() if line.strip()), "")
    return f"{type(error).__name__}: {text.strip()}" if text else type(error).__name__


def _ok(name: str, detail: str) -> Check:
    return Check(name=name, status="ok", detail=detail)


def _python() -> Check:
    version = platform.python_version()
    if sys.version_info < OLDEST_PYTHON:
        wanted = ".".join(map(str, OLDEST_PYTHON))
        remedy = f"python{wanted} -m venv .venv && . .venv/bin/activate"
        return Check(name="python", status="broken", detail=f"{version} is too old", remedy=remedy)
    return _ok("python", f"{version} at {sys.executable}")


def _torch() -> Check:
    if importlib.util.find_spec("torch") is None:
        return Check(name="torch", status="missing", detail="not installed", remedy=INSTALL)
    torch = importlib.import_module("torch")
    return _ok("torch", f"{torch.__version__}, {torch.get_num_threads()} threads")


def _torchaudio() -> Check:
    status = guard_torchaudio()
    if status == "absent":
        detail = "not installed; pyannote.audio needs it"
        remedy = extras.install_command("annotate")
        return Check(name="torchaudio", status="missing", detail=detail, remedy=remedy)
    version = importlib.import_module("torchaudio").__version__
    if status == "guarded":
        return _ok("torchaudio", f"{version}, guarded: its compiled library does not load")
    return _ok("torchaudio", f"{version}, native")


def _lhotse() -> Check:
    return _ok("lhotse", str(importlib.import_module("lhotse").__version__))


def _codec(name: str) -> Callable[[], Check]:
    """A check that encodes and decodes a tenth of a second in memory."""

    def look() -> Check:
        import numpy as np
        import soundfile

        rate = 16000  # Hz
        container, subtype = _CODECS[name]
        tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 10) / rate)  # Hz
        buffer = io.BytesIO()
        soundfile.write(buffer, tone, rate, format=container, subtype=subtype)
        buffer.seek(0)
        decoded, _ = soundfile.read(buffer)
        if len(decoded) < len(tone) or not 0.1 < float(np.abs(decoded).max()) < 1:  # no tone
            raise RuntimeError(f"{name} does not give back what was encoded")
        return _ok(f"codec {name}", f"{len(tone)} samples in {len(buffer.getvalue())} bytes")

    return look


def _ffmpeg(deep: bool) -> Check:
    """Torchcodec loads FFmpeg's libraries and is what pyannote.audio would decode files with."""
    program = shutil.which("ffmpeg")
    version = extras.installed_version("torchcodec")
    detail = f"{program or 'no ffmpeg program'}, torchcodec {version or 'not installed'}"
    fault = extras.import_in_process("torchcodec") if deep and version else None
    if program and version and not fault:
        return _ok("ffmpeg", detail)
    detail = f"optional, since talkover decodes with soundfile: {detail}"
    if fault:
        detail += f", which does not load ({fault})"
    remedy = extras.install_command("annotate") if program and not version else _INSTALL_FFMPEG
    status: Status = "broken" if fault else "missing"
    return Check(name="ffmpeg", status=status, detail=detail, remedy=remedy)


def _gpu() -> Check:
    cuda = importlib.import_module("torch").cuda
    if not cuda.is_available():
        detail = "optional: no CUDA device that this PyTorch can use; everything runs on the CPU"
        return Check(name="gpu", status="missing", detail=detail)
    devices = (cuda.get_device_properties(index) for index in range(cuda.device_count()))
    return _ok("gpu", ", ".join(f"{d.name} ({d.total_memory / _GIB:.0f} GB)" for d in devices))


def _ray() -> Check:
    version = extras.installed_version("ray")
    if version is None:
        return Check(
            name="ray",
            status="missing",
            detail="optional: not installed; the executors serial and processes work without it",
            remedy=extras.install_command("ray"),
        )
    address = os.environ.get("RAY_ADDRESS")
    return _ok("ray", f"{version}, " + (f"cluster {address}" if address else "no RAY_ADDRESS"))


def _compiler() -> Check:
    names = [os.environ.get("CXX", ""), "c++", "g++", "clang++"]
    found = next((path for name in names if name and (path := shutil.which(name))), None)
    if found:
        return _ok("compiler", found)
    return Check(
        name="compiler",
        status="missing",
        detail="no C++ compiler: meeteval (extra score) is built from source",
        remedy=_INSTALL_COMPILER,
    )


def _disk() -> Check:
    folder = Path.cwd()
    free = shutil.disk_usage(folder).free / 1e9
    detail = f"{free:.1f} GB free at {folder}"
    if free < LEAST_FREE_GB:
        remedy = "free some space, or give --out a folder on another disk"
        return Check(name="disk", status="broken", detail=detail, remedy=remedy)
    return _ok("disk", detail)


def _temporary_folder() -> Check:
    folder = tempfile.gettempdir()  # raises if none can be written to
    with tempfile.TemporaryFile() as file:
        file.write(bytes(1 << 20))
    return _ok(
        "temporary folder", f"{shutil.disk_usage(folder).free / 1e9:.1f} GB free at {folder}"
    )


def _memory() -> Check:
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    limit = Path("/sys/fs/cgroup/memory.max")  # of a container, version 2
    if limit.is_file() and (text := limit.read_text().strip()).isdecimal():
        total = min(total, int(text))
    detail = f"{total / 1e9:.1f} GB"
    if total / 1e9 < LEAST_MEMORY_GB:
        remedy = "use --jobs 1, and the small presets to train"
        return Check(name="memory", status="broken", detail=detail, remedy=remedy)
    return _ok("memory", detail)


def _extras(deep: bool) -> Iterable[Check]:
    """One check per extra of this package, from its own metadata."""
    try:
        wanted = extras.declared_requirements()
    except Exception as error:
        detail = f"cannot tell what talkover needs: {_first_line(error)}"
        yield Check(name="package", status="broken", detail=detail, remedy=INSTALL, required=True)
        return
    for extra, requirements in wanted.items():
        name = f"extra {extra}" if extra else "package"
        remedy = extras.install_command(extra) if extra else INSTALL
        found = [extras.inspect(requirement, deep=deep) for requirement in requirements]
        worst: Status = "ok"
        if any(item.status == "missing" for item in found):
            worst = "missing"
        if any(item.status == "broken" for item in found):
            worst = "broken"
        told = found if worst == "ok" else [item for item in found if item.status != "ok"]
        yield Check(
            name=name,
            status=worst,
            detail=", ".join(item.detail for item in told),
            remedy="" if worst == "ok" else remedy,
            required=not extra,
        )
