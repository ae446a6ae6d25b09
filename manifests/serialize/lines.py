"""Parsers that read line by line."""

from __future__ import annotations

from abc import abstractmethod

from talkover.manifests.serialize.base import Parser


class LineParser(Parser):
    r"""A parser that is told of each line, without its ``\n``."""

    def __init__(self) -> None:
        """Begin at the first line."""
        super().__init__()
        self._pending: list[str] = []
        self._begin = 0

    @abstractmethod
    def _on_line(self, position: int, line: str, is_cut: bool) -> None:
        """Take in a line; ``is_cut`` where the text ended before a line break."""

    @abstractmethod
    def _on_end(self, position: int) -> None:
        """Deal with what is left at the end."""

    def _read(self, chunk: str) -> None:
        first, *others = chunk.split("\n")
        self._pending.append(first)
        for start_of_next in others:
            self._end_line(is_cut=False)
            self._begin += 1
            self._pending = [start_of_next]

    def _finish(self) -> None:
        self._end_line(is_cut=True)
        self._on_end(self._begin)

    def _end_line(self, is_cut: bool) -> None:
        line = "".join(self._pending)
        self._pending = []
        if line or not is_cut:
            self._on_line(self._begin, line, is_cut)
        self._begin += len(line)
