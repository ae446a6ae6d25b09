"""Speech from the espeak-ng engine, the same samples every time.

The engine keeps state between calls: the second rendering of a text in one process differs from
the first, even in length; and it seeds its breath noise with the clock. So every line is spoken by
a process that has spoken nothing before, with a fixed seed. Starting an interpreter per line would
cost more than the speech: a small server initialises the engine once and forks a child per line.
Where `os.fork` is missing, a server answers one line and a new one is started for the next.

The engine is GPL-3 and lives in the package ``espeakng-loader`` (extra ``demo``); it is loaded at
run time, in the server's process only. Interface: ``espeak-ng/speak_lib.h``, release 1.52.
"""

from __future__ import annotations

import contextlib
import ctypes
import gc
import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from talkover.manifests.errors import MissingExtraError, RunError

RANDOM_SEED = 1
"""For the engine's breath noise; its own default is the time of day."""

# Constants of speak_lib.h.
_AUDIO_OUTPUT_SYNCHRONOUS = 2
_DONT_EXIT = 0x8000
_CHARS_UTF8 = 1
_POSITION_CHARACTER = 1
_EVENT_LIST_TERMINATED, _EVENT_WORD = 0, 1
_PARAMETER_RATE, _PARAMETER_VOLUME, _PARAMETER_PITCH = 1, 2, 3
_VOLUME = 60
"""Of the engine's default of 100, at which the louder variants clip."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What the engine said.

    Args:
        pcm: Mono samples, signed 16 bit, little-endian.
        sampling_rate: Hz.
        words: One pair per word event: the character of the text that the word starts with,
            counted from 0, and the sample at which it starts. About ± 30 ms.
    """

    pcm: bytes
    sampling_rate: int
    words: tuple[tuple[int, int], ...]


def require_engine() -> None:
    """Check that the engine's package is installed.

    Raises:
        MissingExtraError: If it is not.
    """
    if importlib.util.find_spec("espeakng_loader") is None:
        raise MissingExtraError("espeakng-loader", "demo", "the embedded corpus")


def engine_files() -> tuple[Path, Path]:
    """The engine's library and its data folder.

    Raises:
        MissingExtraError: If the package is not installed.
    """
    require_engine()
    import espeakng_loader

    return Path(espeakng_loader.get_library_path()), Path(espeakng_loader.get_data_path())


def engine_version() -> str:
    """Name and version of the package that holds the engine.

    Raises:
        MissingExtraError: If it is not installed.
    """
    require_engine()
    from importlib.metadata import version  # here, as the server forks faster without it

    return f"espeakng-loader {version('espeakng-loader')}"


class Engine:
    """A client of one server process; use it in a ``with`` block and from one thread.

    Args:
        fork: Whether the server forks per line; without, each line starts a new interpreter.
    """

    def __init__(self, *, fork: bool = hasattr(os, "fork")) -> None:
        """Check that the engine is there; the server starts with the first line."""
        require_engine()
        self._fork = fork
        self._server: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        """Return the engine itself."""
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        """End the server."""
        self.close()

    def close(self) -> None:
        """End the server, if one is running."""
        if self._server is None:
            return
        server, self._server = self._server, None
        for pipe in (server.stdin, server.stdout):
            if pipe is not None:
                with contextlib.suppress(BrokenPipeError):  # a request that nobody will read
                    pipe.close()
        server.wait()

    def say(self, text: str, *, voice: str, rate_wpm: int, pitch: int) -> Speech:
        """Speak one line in a process that has spoken nothing before.

        Args:
            text: Plain text.
            voice: Language and variant, such as ``"en-us+f3"``.
            rate_wpm: Words per minute, 80 to 450.
            pitch: 0 to 99, on the engine's scale; 50 is the voice's own.

        Raises:
            RunError: If the voice is unknown or the engine fails.
        """
        request = {"text": text, "voice": voice, "rate_wpm": rate_wpm, "pitch": pitch}
        server = self._running_server()
        assert server.stdin is not None and server.stdout is not None
        try:
            server.stdin.write(json.dumps(request).encode() + b"\n")
            server.stdin.flush()
            header = server.stdout.readline()
            answer: dict[str, Any] = json.loads(header) if header else {"error": "no answer"}
            pcm = server.stdout.read(answer.get("num_bytes", 0))
        except BrokenPipeError:
            answer, pcm = {"error": "the engine's process has ended"}, b""
        if not self._fork or "error" in answer:
            self.close()
        if "error" in answer:
            raise RunError(f"espeak-ng could not say {text!r} as {voice}: {answer['error']}")
        words = tuple((position, sample) for position, sample in answer["words"])
        return Speech(pcm=pcm, sampling_rate=answer["sampling_rate"], words=words)

    def say_checked(self, text: str, *, voice: str, rate_wpm: int, pitch: int) -> Speech:
        """Speak one line twice, in two fresh processes, and return it if both are the same.

        Raises:
            RunError: If the two differ, or as `say`.
        """
        first = self.say(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch)
        if self.say(text, voice=voice, rate_wpm=rate_wpm, pitch=pitch) != first:
            raise RunError(f"espeak-ng said {text!r} as {voice} in two ways: not reproducible")
        return first

    def _running_server(self) -> subprocess.Popen[bytes]:
        if self._server is None:
            # The child must find talkover however this process found it.
            path = os.pathsep.join(entry for entry in sys.path if entry)
            self._server = subprocess.Popen(
                [sys.executable, "-m", __spec__.name, "fork" if self._fork else "once"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                env={**os.environ, "PYTHONPATH": path},
            )
        return self._server


class _Event(ctypes.Structure):
    """`espeak_EVENT`; the last field is a union of 8 bytes that is not read here."""

    _fields_ = (
        ("type", ctypes.c_int),
        ("unique_identifier", ctypes.c_uint),
        ("text_position", ctypes.c_int),
        ("length", ctypes.c_int),
        ("audio_position", ctypes.c_int),
        ("sample", ctypes.c_int),
        ("user_data", ctypes.c_void_p),
        ("id", ctypes.c_uint64),
    )


_Callback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.POINTER(_Event))


class _Library:
    """The engine in this process: initialised, and silent until `speak` is called, once."""

    def __init__(self, library: Path, data: Path) -> None:
        self._data = data
        self._lib = ctypes.CDLL(str(library))
        self._lib.espeak_Synth.argtypes = [
            ctypes.c_char_p,  # text
            ctypes.c_size_t,  # its bytes, with the final zero
            ctypes.c_uint,  # start position
            ctypes.c_int,  # unit of positions
            ctypes.c_uint,  # end position
            ctypes.c_uint,  # flags
            ctypes.c_void_p,
            ctypes.c_void_p,
        ]
        self._lib.espeak_ng_SetRandSeed.argtypes = [ctypes.c_long]
        self.sampling_rate: int = self._lib.espeak_Initialize(
            _AUDIO_OUTPUT_SYNCHRONOUS, 0, str(data).encode(), _DONT_EXIT
        )
        if self.sampling_rate <= 0:
            raise RunError(f"espeak-ng did not start with the data in {data}")
        # Reads some 140 voice files, which every child would otherwise do by itself.
        self._lib.espeak_ListVoices.restype = ctypes.c_void_p
        self._lib.espeak_ListVoices(None)

    def speak(
        self, text: str, voice: str, rate_wpm: int, pitch: int
    ) -> tuple[bytes, list[tuple[int, int]]]:
        """Samples and word events (character from 0, sample) of one line."""
        pcm: list[bytes] = []
        words: list[tuple[int, int]] = []

        def receive(samples: int | None, count: int, events: Any) -> int:
            index = 0
            while events[index].type != _EVENT_LIST_TERMINATED:
                if events[index].type == _EVENT_WORD:
                    words.append((events[index].text_position - 1, events[index].sample))
                index += 1
            if samples and count > 0:
                pcm.append(ctypes.string_at(samples, 2 * count))
            return 0

        callback = _Callback(receive)
        self._lib.espeak_SetSynthCallback(callback)
        self._lib.espeak_ng_SetRandSeed(RANDOM_SEED)
        variant = voice.partition("+")[2]
        # The engine ignores a variant that it does not know.
        if variant and not (self._data / "voices" / "!v" / variant).is_file():
            raise RunError(f"there is no variant {variant!r}")
        self._check(self._lib.espeak_SetVoiceByName(voice.encode()), "there is no such voice")
        self._check(self._lib.espeak_SetParameter(_PARAMETER_RATE, rate_wpm, 0), "rate")
        self._check(self._lib.espeak_SetParameter(_PARAMETER_PITCH, pitch, 0), "pitch")
        self._check(self._lib.espeak_SetParameter(_PARAMETER_VOLUME, _VOLUME, 0), "volume")
        raw = text.encode()
        self._check(
            self._lib.espeak_Synth(
                raw, len(raw) + 1, 0, _POSITION_CHARACTER, 0, _CHARS_UTF8, None, None
            ),
            "synthesis",
        )
        return b"".join(pcm), words

    @staticmethod
    def _check(status: int, what: str) -> None:
        if status != 0:
            raise RunError(f"{what} (status {status})")


def _answer(engine: _Library, request: dict[str, Any]) -> bytes:
    """One framed answer: a line of JSON, then ``num_bytes`` bytes of samples."""
    try:
        pcm, words = engine.speak(**request)
    except RunError as error:
        return json.dumps({"error": str(error)}).encode() + b"\n"
    header = {"num_bytes": len(pcm), "sampling_rate": engine.sampling_rate, "words": words}
    return json.dumps(header).encode() + b"\n" + pcm


def _answer_in_child(engine: _Library, request: dict[str, Any], output: IO[bytes]) -> None:
    """Let a child speak and write; a child that dies has written nothing, so report for it."""
    child = os.fork()
    if child == 0:
        status = 1
        try:
            answer = _answer(engine, request)  # complete before the first byte is written
            output.write(answer)
            output.flush()
            status = 0
        finally:
            os._exit(status)
    _, status = os.waitpid(child, 0)
    if status != 0:
        code = os.waitstatus_to_exitcode(status)
        output.write(json.dumps({"error": f"its process ended with {code}"}).encode() + b"\n")
        output.flush()


def _serve(*, fork: bool) -> None:
    """Answer requests from standard input until it ends, or one where forks are not to be had."""
    engine = _Library(*engine_files())
    output = sys.stdout.buffer
    gc.disable()  # a collection in a child would copy every page that it shares with the server
    for line in sys.stdin.buffer:
        request: dict[str, Any] = json.loads(line)
        if fork:
            _answer_in_child(engine, request, output)
            continue
        output.write(_answer(engine, request))
        output.flush()
        break


if __name__ == "__main__":
    _serve(fork=sys.argv[1] == "fork")
