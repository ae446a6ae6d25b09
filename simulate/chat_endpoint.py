"""An OpenAI-compatible chat endpoint: one question, one usable answer, with retries."""

from __future__ import annotations

import json
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.client import HTTPException
from typing import Any

from pydantic import JsonValue

from talkover.manifests.errors import ConfigurationError, RunError

FIRST_WAIT = 0.5
"""Seconds before the first further request; doubled each time."""
LARGEST_ANSWER = 4 * 2**20
"""Bytes; more is no dialogue."""
TRANSIENT = {408, 409, 425, 429}
"""HTTP statuses below 500 that another request may mend."""
_SHOWN = 200  # letters of a refusal in a message


class UnusableAnswer(ValueError):
    """An answer that is not what was asked for, and why."""


@dataclass(frozen=True, kw_only=True)
class ChatEndpoint:
    """Where to ask.

    Args:
        base_url: Such as ``http://localhost:8000/v1``.
        api_key: Sent as a bearer token, or None.
        timeout: Seconds for one request.
        retries: Further requests.
        wait: Waits some seconds between them.

    Raises:
        ConfigurationError: If the address is not one of HTTP.
    """

    base_url: str
    api_key: str | None
    timeout: float
    retries: int
    wait: Callable[[float], object] = time.sleep

    def __post_init__(self) -> None:
        """Refuse addresses such as file:, which urllib would open."""
        if not self.base_url.startswith(("http://", "https://")):
            raise ConfigurationError(
                f"text.dialogue.base_url must begin with http:// or https://: {self.base_url!r}"
            )

    def ask(self, body: Mapping[str, JsonValue], check: Callable[[str], object]) -> str:
        """The first answer that `check` accepts.

        Args:
            body: Of the request; its ``seed`` is raised with every further one, since a seeded
                model would give the same useless answer again.
            check: Raises `UnusableAnswer` for what cannot be used.

        Raises:
            RunError: If the endpoint refuses, or all requests fail; names the last reason.
        """
        reason = ""
        for attempt in range(self.retries + 1):
            if attempt:
                self.wait(FIRST_WAIT * 2 ** (attempt - 1))
            try:
                answer = self._request(_with_seed(body, attempt))
                check(answer)
                return answer
            except urllib.error.HTTPError as error:
                reason = f"HTTP {error.code} {_excerpt(error)}"
                if error.code < 500 and error.code not in TRANSIENT:
                    break
            except UnusableAnswer as error:
                reason = f"unusable answer: {error}"
            except (OSError, HTTPException) as error:  # refused, unreachable, timed out, cut off
                reason = f"no answer: {error}"
        raise RunError(
            f"{self.base_url}: {reason} (after {attempt + 1} requests): check text.dialogue; "
            "answers so far are kept, the same command goes on"
        )

    def _request(self, body: Mapping[str, JsonValue]) -> str:
        request = urllib.request.Request(
            self.base_url.rstrip("/") + "/chat/completions",
            data=json.dumps(body, ensure_ascii=False).encode(),
            headers={"Content-Type": "application/json"},
        )
        if self.api_key is not None:  # never to the host of a redirect
            request.add_unredirected_header("Authorization", f"Bearer {self.api_key}")
        with urllib.request.urlopen(request, timeout=self.timeout) as response:
            return _content(response.read(LARGEST_ANSWER))


def _content(payload: bytes) -> str:
    """The text of a chat completion."""
    try:
        value: Any = json.loads(payload)
        content = value["choices"][0]["message"]["content"]
    except (ValueError, KeyError, IndexError, TypeError) as error:
        raise UnusableAnswer(f"not a chat completion: {type(error).__name__} {error}") from error
    if not isinstance(content, str):
        raise UnusableAnswer("a chat completion without text")
    return content


def _with_seed(body: Mapping[str, JsonValue], attempt: int) -> dict[str, JsonValue]:
    seed = body.get("seed")
    return {**body, "seed": seed + attempt} if isinstance(seed, int) else dict(body)


def _excerpt(error: urllib.error.HTTPError) -> str:
    try:
        return " ".join(error.read(_SHOWN).decode("utf8", "replace").split())
    except OSError:
        return str(error.reason)
