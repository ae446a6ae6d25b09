"""The formats that `talkover.manifests.labels` reads: RTTM, STM, CTM, word tables, SegLST, UEM.

Reading and the form of a line are there and in `talkover.manifests.exports`; here they meet
conversations. Where a text is not known, STM says so with a stretch that is not to be scored, and
SegLST by leaving ``words`` out.
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from pathlib import Path

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions, text_file
from talkover.manifests.convert.conversation import (
    Conversation,
    SpokenWord,
    Utterance,
    make_conversation,
    runs_of_words,
)
from talkover.manifests.convert.losses import LOSSES, Loss
from talkover.manifests.exports import DIGITS, ctm_line, rttm_line, stm_line, uem_line
from talkover.manifests.labels import LabelFormat, read_labels, read_uem
from talkover.manifests.segments import Segment


class LabelFile:
    """One file for all sessions, as `talkover.manifests.labels` reads it."""

    name: LabelFormat
    suffixes: tuple[str, ...]
    is_folder = False
    audio: AudioNeed = "none"

    @property
    def losses(self) -> tuple[Loss, ...]:
        """What the format cannot hold."""
        return LOSSES[self.name]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """One conversation a session of the file."""
        found = read_labels(path, format=self.name, on_error=faults.take)
        for session, segments in found.items():
            yield make_conversation(session, self._utterances(segments))

    def _utterances(self, segments: list[Segment]) -> Iterable[Utterance]:
        return [
            Utterance(speaker=s.speaker, start=s.start, end=s.end, text=s.text) for s in segments
        ]


class LineFile(LabelFile, ABC):
    """One whose sessions are lines that stand by themselves."""

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """The lines of all sessions, one after the other."""
        with text_file(path) as file:
            for conversation in conversations:
                file.writelines(self._lines(conversation))

    @abstractmethod
    def _lines(self, conversation: Conversation) -> Iterator[str]:
        """The lines of a session, each with its end."""


class Rttm(LineFile):
    """Who spoke when: one line a speech region."""

    name = "rttm"
    suffixes = (".rttm",)

    def _lines(self, conversation: Conversation) -> Iterator[str]:
        for u in conversation.utterances:
            yield rttm_line(conversation.id, u.speaker, u.start, u.end)


class Stm(LineFile):
    """Who said what, when: one line an utterance."""

    name = "stm"
    suffixes = (".stm",)

    def _lines(self, conversation: Conversation) -> Iterator[str]:
        for u in conversation.utterances:
            yield stm_line(conversation.id, u.speaker, u.start, u.end, u.text)


class Ctm(LineFile):
    """One line a word; the second column is the speaker."""

    name: LabelFormat = "ctm"
    suffixes = (".ctm",)

    def _utterances(self, segments: list[Segment]) -> Iterable[Utterance]:
        words: dict[str, list[SpokenWord]] = {}
        for s in segments:
            word = SpokenWord(symbol=s.text or "", start=round(s.start, 8), end=round(s.end, 8))
            words.setdefault(s.speaker, []).append(word)
        return [run for speaker in words for run in runs_of_words(speaker, words[speaker])]

    def _lines(self, conversation: Conversation) -> Iterator[str]:
        for word, speaker in _words_in_order(conversation):
            yield ctm_line(conversation.id, speaker, word.start, word.end, word.symbol)


class WordTable(Ctm):
    """A table with a header and one row a word."""

    name: LabelFormat = "words"
    suffixes = (".tsv",)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """A header, then the words of all sessions."""
        with text_file(path) as file:
            file.write("session\tspeaker\tstart\tend\tword\n")
            for conversation in conversations:
                for word, speaker in _words_in_order(conversation):
                    times = f"{word.start!r}\t{word.end!r}"
                    file.write(f"{conversation.id}\t{speaker}\t{times}\t{word.symbol}\n")


class Seglst(LabelFile):
    """A JSON list with one object an utterance."""

    name = "seglst"
    suffixes = (".seglst.json", ".json")

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One list over all sessions, one object a line."""
        with text_file(path) as file:
            mark = "[\n"
            for conversation in conversations:
                for u in conversation.utterances:
                    file.write(mark + json.dumps(_row(conversation.id, u), ensure_ascii=False))
                    mark = ",\n"
            file.write("[]\n" if mark == "[\n" else "\n]\n")


class Uem:
    """The stretches of each session that are labelled."""

    name = "uem"
    suffixes = (".uem",)
    is_folder = False
    audio: AudioNeed = "none"
    losses = LOSSES["uem"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """Conversations without turns."""
        for session, spans in read_uem(path, on_error=faults.take).items():
            yield make_conversation(session, uem=spans)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One line a stretch."""
        with text_file(path) as file:
            for conversation in conversations:
                for start, end in conversation.uem or ():
                    file.write(uem_line(conversation.id, start, end))


def _words_in_order(conversation: Conversation) -> list[tuple[SpokenWord, str]]:
    words = [(w, u.speaker) for u in conversation.utterances for w in u.words or ()]
    return sorted(words, key=lambda row: (row[0].start, row[0].end, row[1], row[0].symbol))


def _row(session: str, u: Utterance) -> dict[str, str | float]:
    row: dict[str, str | float] = {
        "session_id": session,
        "speaker": u.speaker,
        "start_time": round(u.start, DIGITS),
        "end_time": round(u.end, DIGITS),
    }
    return row if u.text is None else row | {"words": u.text}
