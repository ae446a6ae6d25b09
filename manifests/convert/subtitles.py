"""Subtitles, one file a session: SubRip (SRT) and WebVTT, with speakers, overlap as parallel cues.

SRT has no place for a speaker, so a cue reads ``ana: text``; WebVTT has the voice tag ``<v ana>``
(W3C, WebVTT, section 1.4) and escapes ``& < >``. Cues may overlap in both; players show them below
each other. Both are read back, so that what a person mends in a subtitle editor is not lost.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from talkover.manifests.convert.audacity import labelled, of_label
from talkover.manifests.convert.base import (
    AudioNeed,
    Faults,
    WriteOptions,
    session_files,
    session_name,
    write_session_files,
)
from talkover.manifests.convert.conversation import Conversation, Utterance, make_conversation
from talkover.manifests.convert.losses import LOSSES, Loss
from talkover.manifests.errors import ManifestError
from talkover.manifests.lines import Line, read_lines

_TIME = r"((?:\d+:)?\d{1,2}:\d{2}[.,]\d{3})"
_TIMES = re.compile(rf"\s*{_TIME}\s+-->\s+{_TIME}(?:\s.*)?")
_VOICE = re.compile(r"<v(?:\.[^\s>]*)?\s+([^>]*)>(.*?)(?:</v>\s*)?", re.DOTALL)
_TAG = re.compile(r"<[^>]*>")


class Srt:
    """Reads and writes SubRip."""

    name: str = "srt"
    suffixes: tuple[str, ...] = (".srt",)
    is_folder = False
    audio: AudioNeed = "none"

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What the format cannot hold."""
        return LOSSES[self.name]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each file; the session is the file's name."""
        for file in session_files(path, self.suffixes):
            rows = self._utterances(file, faults)
            yield make_conversation(session_name(file, self.suffixes), rows)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One file a session."""
        write_session_files(path, self.suffixes[0], conversations, self._text)

    def _text(self, conversation: Conversation) -> str:
        return "\n".join(
            f"{n}\n{_clock(u.start, ',')} --> {_clock(u.end, ',')}\n{labelled(u.speaker, u.text)}\n"
            for n, u in enumerate(conversation.utterances, start=1)
        )

    def _said(self, text: str) -> tuple[str, str | None]:
        """Speaker and text of a cue."""
        speaker, said = of_label(text)
        return (speaker, said) if said is not None else ("", speaker)

    def _utterances(self, path: Path, faults: Faults) -> Iterator[Utterance]:
        for block in _blocks(path):
            place = next((n for n, line in enumerate(block) if "-->" in line.text), None)
            if place is None:
                if self._is_cue(block):
                    reason = "a block without a line of times (00:00:01,000 --> 00:00:02,000)"
                    faults.take(ManifestError(reason, path=path, line=block[0].number))
                continue
            times, lines = block[place], block[place + 1 :]
            match = _TIMES.fullmatch(times.text)
            if match is None:
                reason = f"must be: start --> end, got {times.text[:60]!r}"
                faults.take(ManifestError(reason, path=path, line=times.number, field="times"))
                continue
            start, end = (_seconds(text) for text in match.groups())
            if end < start:
                reason = f"ends at {end} s, before its start at {start} s"
                faults.take(ManifestError(reason, path=path, line=times.number, field="times"))
                continue
            speaker, said = self._said(" ".join(line.text.strip() for line in lines).strip())
            yield Utterance(speaker=speaker, start=start, end=end, text=said)

    def _is_cue(self, block: list[Line]) -> bool:
        return True


class Vtt(Srt):
    """Reads and writes WebVTT."""

    name = "vtt"
    suffixes = (".vtt",)

    def _text(self, conversation: Conversation) -> str:
        cues = "".join(
            f"\n{_clock(u.start, '.')} --> {_clock(u.end, '.')}\n"
            f"<v {u.speaker}>{html.escape(u.text or '', quote=False)}\n"
            for u in conversation.utterances
        )
        return "WEBVTT\n" + cues

    def _said(self, text: str) -> tuple[str, str | None]:
        match = _VOICE.fullmatch(text)
        if match is None:
            return super()._said(html.unescape(_TAG.sub("", text)))
        return html.unescape(match[1]).strip(), html.unescape(_TAG.sub("", match[2])).strip()

    def _is_cue(self, block: list[Line]) -> bool:
        return not block[0].text.startswith(("WEBVTT", "NOTE", "STYLE", "REGION", "::"))


def _blocks(path: Path) -> Iterator[list[Line]]:
    """The lines of a file between its empty ones."""
    block: list[Line] = []
    for line in read_lines(path):
        if line.text.strip():
            block.append(line)
        elif block:
            yield block
            block = []
    if block:
        yield block


def _clock(seconds: float, point: str) -> str:
    """``00:01:02,500`` of 62.5 s."""
    total = round(seconds * 1000)
    minutes, rest = divmod(total, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{rest // 1000:02d}{point}{rest % 1000:03d}"


def _seconds(clock: str) -> float:
    whole, thousandths = clock.replace(",", ".").split(".")
    total = 0
    for part in whole.split(":"):
        total = total * 60 + int(part)
    return (total * 1000 + int(thousandths)) / 1000
