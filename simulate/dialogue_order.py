"""A dialogue that an OpenAI-compatible endpoint writes, said with utterances of the corpus.

Requests are made once, before any worker starts (`DialogueOrder.prepare`), and answers are kept
under the hash of their request. Plans read only what is kept: workers and later runs need no
network and make the same bytes. The prompt offers sentences that the speakers have, since a line is
said only if the corpus has an utterance like it.
"""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.canonical import json_sha256
from talkover.manifests.errors import ConfigurationError, RunError
from talkover.simulate.chat_endpoint import ChatEndpoint, UnusableAnswer
from talkover.simulate.config import DialogueConfig
from talkover.simulate.conversation import Cast
from talkover.simulate.script_order import Line, ScriptMatcher, line_of
from talkover.simulate.text_order import Casting

SEED_RANGE = 2**31
"""Seeds that endpoints take: a positive 32-bit integer."""
LABELS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
"""Names of the speakers in prompts and answers."""


@dataclass(frozen=True, slots=True)
class _Meeting:
    """Who talks in a session, and the request for what they say."""

    names: list[str]
    people: NDArray[np.int64]
    language: int | None
    body: dict[str, JsonValue]


class DialogueOrder:
    """Sessions with a written dialogue each."""

    num_speakers: int | None = None

    def __init__(self, casting: Casting) -> None:
        """Keep the corpus; no request is made yet.

        Raises:
            ConfigurationError: If there is no folder for answers, or the address is none.
            InfeasibleTarget: If the corpus has no texts.
        """
        if casting.answers is None:
            raise ConfigurationError("text.order dialogue needs a folder to keep answers in")
        self._casting, self._folder = casting, casting.answers
        self._matcher = ScriptMatcher(casting)

    @property
    def _config(self) -> DialogueConfig:
        return self._casting.config.text.dialogue

    def prepare(self, index: int, count: int) -> str:
        """Have the session's dialogue written, unless its answer is kept already.

        Returns:
            Hash of the answer.

        Raises:
            RunError: If the endpoint gives no usable answer.
        """
        meeting = self._meeting(index, count)
        path = self._path(meeting)
        if not path.exists():
            endpoint = ChatEndpoint(
                base_url=self._config.base_url,
                api_key=_api_key(self._config.api_key_env),
                timeout=self._config.timeout,
                retries=self._config.retries,
            )
            answer = endpoint.ask(meeting.body, lambda text: parse_dialogue(text, count))
            _publish(path, {"request": meeting.body, "answer": answer})
        return json_sha256(json.loads(path.read_text(encoding="utf8"))["answer"])

    def cast(self, index: int, count: int, attempt: str) -> Cast:
        """The speakers of the dialogue and the utterances that come nearest to its lines.

        Raises:
            RunError: If the answer is not there: `prepare` was not called.
            InfeasibleTarget: If no line matches.
        """
        meeting = self._meeting(index, count)
        path = self._path(meeting)
        try:
            answer = json.loads(path.read_text(encoding="utf8"))["answer"]
            lines = parse_dialogue(answer, count)
        except FileNotFoundError as error:
            raise RunError(
                f"{path}: the dialogue of session {index} was not asked for: prepare the run first"
            ) from error
        except (ValueError, KeyError, TypeError, UnusableAnswer) as error:
            raise RunError(f"{path}: not a kept dialogue ({error}): remove it") from error
        return self._matcher.cast_of(lines, index, meeting.names, meeting.people, meeting.language)

    def _meeting(self, index: int, count: int) -> _Meeting:
        rng = self._casting.rng(index, "dialogue")
        group, people = self._casting.meeting(count, rng)
        names = [LABELS[k] for k in range(count)]
        offered = {
            name: self._sentences(self._casting.pool(int(person), group.language), rng)
            for name, person in zip(names, people, strict=True)
        }
        body: dict[str, JsonValue] = {
            "model": self._config.model,
            "messages": [
                {"role": "system", "content": SYSTEM},
                {"role": "user", "content": _prompt(self._config, offered)},
            ],
            "response_format": {"type": "json_object"},
            "seed": int(rng.integers(SEED_RANGE)),
        }
        return _Meeting(names, people, group.language, body)

    def _sentences(self, pool: NDArray[np.int64], rng: np.random.Generator) -> list[str]:
        known = pool[np.asarray(self._casting.cache.has_text)[pool]]
        some = rng.permutation(known)[: self._config.sentences]
        return [self._casting.cache.utterance(int(n)).text or "" for n in some]

    def _path(self, meeting: _Meeting) -> Path:
        key = json_sha256({"url": self._config.base_url, "body": meeting.body})
        return self._folder / f"{key}.json"


SYSTEM = (
    "You write conversations as they are spoken: short turns, people who react to each other. "
    "Answer with JSON and nothing else."
)


def _prompt(config: DialogueConfig, offered: dict[str, list[str]]) -> str:
    names = ", ".join(offered)
    parts = [
        f"Write a dialogue of about {config.lines} lines between the speakers {names}.",
        f"Topic: {config.topic}.",
        'Form: {"lines": [{"speaker": "A", "text": "…"}, …]}. Every speaker has a line.',
    ]
    if any(offered.values()):
        parts.append("Use the sentences below, word for word, as far as they fit.")
    for name, sentences in offered.items():
        parts += [f"Sentences of {name}:", *(f"- {sentence}" for sentence in sentences)]
    return "\n".join(parts)


def parse_dialogue(answer: str, count: int) -> list[Line]:
    """The lines of an answer, strictly.

    Args:
        answer: Text of the endpoint: a JSON object with a list ``lines``, each with ``speaker``
            (A, B, …) and ``text``; a Markdown fence around it is taken off.
        count: Number of speakers.

    Raises:
        UnusableAnswer: If it is anything else; says what.
    """
    text = answer.strip()
    if text.startswith("```") and text.endswith("```"):
        text = text.removeprefix("```json").removeprefix("```").removesuffix("```")
    try:
        value: Any = json.loads(text)
    except ValueError as error:
        raise UnusableAnswer(f"not JSON: {error}") from error
    rows = value.get("lines") if isinstance(value, dict) else None
    if not isinstance(rows, list) or not rows:
        raise UnusableAnswer("no list of lines")
    lines = []
    for number, row in enumerate(rows):
        line = line_of(row)
        if line is None:
            raise UnusableAnswer(f"lines[{number}] has no speaker and text")
        if line.speaker not in LABELS[:count]:
            raise UnusableAnswer(f"lines[{number}]: unknown speaker {line.speaker!r}")
        lines.append(line)
    return lines


def _api_key(name: str | None) -> str | None:
    if name is None:
        return None
    key = os.environ.get(name)
    if not key:
        raise ConfigurationError(
            f"text.dialogue.api_key_env: the environment variable {name} is not set"
        )
    return key


def _publish(path: Path, value: dict[str, Any]) -> None:
    """Keep an answer under its name; the first of several array jobs that come at once wins."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    temporary.write_text(json.dumps(value, ensure_ascii=False, indent=1) + "\n", encoding="utf8")
    try:
        os.link(temporary, path)
    except FileExistsError:
        pass
    except OSError:  # a file system without links: the last one wins
        os.replace(temporary, path)
        return
    temporary.unlink()
