"""Conversation JSONL, on which MOSS-Transcribe-Diarize is trained: one object a session.

``{"conversation": [request, audio, answer]}``: a text message of the user with the instruction, an
audio message with the path, and the assistant's text with the turns as
``[0.00][S01]Welcome[0.72]``, which is `talkover.manifests.serialize.inline`.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions, text_file
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    Utterance,
    absolute,
    make_conversation,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ManifestError
from talkover.manifests.lines import read_lines
from talkover.manifests.serialize.inline import Inline
from talkover.manifests.serialize.transcript import Transcript, Turn

FORMAT = Inline()


class Moss:
    """Reads and writes conversation JSONL."""

    name = "moss"
    suffixes: tuple[str, ...] = (".moss.jsonl",)
    is_folder = False
    audio: AudioNeed = "path"
    losses = LOSSES["moss"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each line; the session is the name of its recording."""
        seen: dict[str, int] = {}
        for line in read_lines(path):
            if not line.text.strip():
                continue
            try:
                conversation = _conversation(line.text, path.parent)
                if conversation.id in seen:
                    raise ManifestError(
                        f"a recording named {conversation.id!r} is on line "
                        f"{seen[conversation.id]} already, and the name is all that tells them "
                        "apart: rename one"
                    )
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=path, line=line.number, field=field))
                continue
            seen[conversation.id] = line.number
            yield conversation

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One line a session."""
        with text_file(path) as file:
            for conversation in conversations:
                audio = options.audio_path(conversation.recording, conversation.id)
                row = {"conversation": _messages(conversation, audio)}
                file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _messages(conversation: Conversation, audio: str) -> list[dict[str, str]]:
    turns = tuple(
        Turn(speaker=u.speaker, text=u.text or "", start=u.start, end=u.end)
        for u in conversation.utterances
    )
    answer = FORMAT.encode(Transcript(turns=turns))
    return [
        {"role": "user", "message_type": "text", "content": FORMAT.prompt()},
        {"role": "user", "message_type": "audio", "content": audio},
        {"role": "assistant", "message_type": "text", "content": answer},
    ]


def _conversation(line: str, folder: Path) -> Conversation:
    try:
        row: Any = json.loads(line)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from error
    messages = row.get("conversation") if isinstance(row, dict) else None
    if not isinstance(messages, list):
        raise ManifestError("must be a list of messages", field="conversation")
    audio = _content(messages, "user", "audio")
    recording = Recording(path=absolute(folder, audio))
    utterances = _turns(_content(messages, "assistant", "text"))
    return make_conversation(recording.path.stem, utterances, recording=recording)


def _content(messages: list[Any], role: str, kind: str) -> str:
    """The content of the one message of a kind."""
    found = [
        message.get("content")
        for message in messages
        if isinstance(message, dict)
        and (message.get("role"), message.get("message_type")) == (role, kind)
    ]
    if len(found) != 1 or not isinstance(found[0], str):
        raise ManifestError(
            f"must have one {kind} message of the {role} with text as its content, has "
            f"{len(found)}",
            field="conversation",
        )
    return found[0]


def _turns(answer: str) -> Iterator[Utterance]:
    """The turns of an answer; what a parser would have to mend is refused."""
    parsed = FORMAT.parse(answer)
    for repair in parsed.repairs:
        raise ManifestError(
            f"{repair.kind.replace('_', ' ')} at character {repair.position}: {repair.text[:40]!r}",
            field="conversation",
        )
    for turn in parsed.transcript.turns:
        if turn.start is None or turn.end is None:
            raise ManifestError(f"a turn without times: {turn.text[:40]!r}", field="conversation")
        yield Utterance(speaker=turn.speaker, start=turn.start, end=turn.end, text=turn.text)
