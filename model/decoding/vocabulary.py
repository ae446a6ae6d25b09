"""A grammar of bytes projected onto a vocabulary: which tokens may follow in a state.

In a BPE vocabulary one token may span ``][`` or the end of a word and the time behind it, so rules
over tokens are wrong. Here every token is walked byte by byte through a trie of the vocabulary; in
the midst of words, where nearly all tokens may follow, only those with a byte that means something
are walked.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from talkover.manifests.errors import ConfigurationError
from talkover.model.decoding.grammar import Grammar, State


@dataclass(slots=True)
class Node:
    """A place in the trie."""

    tokens: list[int] = field(default_factory=list)
    """Tokens that end here; several may have the same bytes."""
    after: dict[int, Node] = field(default_factory=dict)


class VocabularyTrie:
    """The tokens of a codec by their bytes; one for all recordings."""

    def __init__(self, token_bytes: Sequence[bytes | None]) -> None:
        """Take what each token adds to a text; None or nothing for those that never may."""
        self.token_bytes = list(token_bytes)
        self.whole = _trie((i, text) for i, text in enumerate(token_bytes) if text)
        self._split: dict[bytes, tuple[Tensor, Node]] = {}

    def allowed(self, grammar: Grammar, state: State) -> tuple[Tensor | None, dict[int, State]]:
        """Tokens that may follow: those that keep the state, and the others with their states."""
        if not grammar.is_in_words(state):
            return None, walk(grammar, state, self.whole)
        plain, others = self._parts(grammar)
        return plain, walk(grammar, state, others)

    def _parts(self, grammar: Grammar) -> tuple[Tensor, Node]:
        """Tokens of whole characters that need no escape, and a trie of the others."""
        key = grammar.special
        if key not in self._split:
            plain = [
                i for i, text in enumerate(self.token_bytes) if text and grammar.is_plain(text)
            ]
            known = set(plain)
            rest = _trie(
                (i, text) for i, text in enumerate(self.token_bytes) if text and i not in known
            )
            self._split[key] = torch.tensor(plain, dtype=torch.long), rest
        return self._split[key]

    def shortest(self, text: bytes) -> list[int]:
        """Tokens that write a text, each as long as it can be.

        Raises:
            ConfigurationError: If the vocabulary cannot write it.
        """
        found: list[int] = []
        place = 0
        while place < len(text):
            node, best = self.whole, None
            for end in range(place, len(text)):
                after = node.after.get(text[end])
                if after is None:
                    break
                node = after
                if node.tokens:
                    best = node.tokens[0], end + 1
            if best is None:
                raise ConfigurationError(
                    f"the tokenizer has no token for {text[place : place + 1]!r}, which the format "
                    "needs: take another tokenizer or format"
                )
            found.append(best[0])
            place = best[1]
        return found


def walk(grammar: Grammar, state: State, root: Node) -> dict[int, State]:
    """Tokens of a trie that may follow, with the states after them."""
    found: dict[int, State] = {}
    waiting = [(root, state)]
    while waiting:
        node, here = waiting.pop()
        for byte, below in node.after.items():
            after = grammar.step(here, byte)
            if after is not None:
                for token in below.tokens:
                    found[token] = after
                if below.after:
                    waiting.append((below, after))
    return found


def _trie(tokens: Iterable[tuple[int, bytes]]) -> Node:
    root = Node()
    for index, text in tokens:
        node = root
        for byte in text:
            node = node.after.setdefault(byte, Node())
        node.tokens.append(index)
    return root
