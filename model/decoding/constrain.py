"""The logits processor: only tokens that keep every row's text within its grammar.

Near the end of the budget only tokens remain from which the text can still be closed in time, so
that an output of any length parses.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from transformers import LogitsProcessor

from talkover.manifests.errors import ConfigurationError
from talkover.model.decoding.grammar import Grammar, State
from talkover.model.decoding.vocabulary import VocabularyTrie

NEAR = 256
"""Tokens before the end of the budget from which on every token is looked at for what it takes to
close after it. One token opens at most one turn, whose marks are some 100 bytes in the longest
format."""


@dataclass(frozen=True, slots=True)
class Options:
    """Tokens that may follow in a state."""

    same: Tensor | None
    """Those that keep the state."""
    others: dict[int, State]


class GrammarProcessor(LogitsProcessor):  # type: ignore[misc, unused-ignore]
    """For ``generate(logits_processor=[…])`` over embeddings, so that ids are those of the answer.

    Args:
        grammars: One for each row of the batch.
        trie: The vocabulary.
        end_id: The token that ends a text.
        budget: New tokens at most, as given to ``generate``.
        pad_id: What finished rows are filled with.

    Raises:
        ConfigurationError: If the budget is too small for an empty text.
    """

    def __init__(
        self,
        grammars: Sequence[Grammar],
        trie: VocabularyTrie,
        *,
        end_id: int,
        pad_id: int,
        budget: int,
    ) -> None:
        """Begin all rows."""
        self.grammars, self.trie = list(grammars), trie
        self.end_id, self.pad_id, self.budget = end_id, pad_id, budget
        self._states: dict[tuple[int, tuple[int, ...]], State | None] = {}
        self._options: list[dict[State, Options]] = [{} for _ in self.grammars]
        self._needs: list[dict[State, int]] = [{} for _ in self.grammars]
        for row, grammar in enumerate(self.grammars):
            least = self._needed(row, grammar.start_state)
            if least > budget:
                raise ConfigurationError(
                    f"an empty text takes {least} tokens, the budget is {budget}: raise it"
                )

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with the tokens that may not follow at minus infinity."""
        masked = torch.full_like(scores, -torch.inf)
        for row, ids in enumerate(input_ids.tolist()):
            allowed = self._allowed(row % len(self.grammars), tuple(ids))
            allowed = allowed.to(scores.device)
            masked[row, allowed] = scores[row, allowed]
        return masked

    def _allowed(self, row: int, ids: tuple[int, ...]) -> Tensor:
        state = self._state(row, ids)
        if state is None:
            return torch.tensor([self.pad_id])
        left = self.budget - len(ids)
        options = self._options_of(row, state)
        others = list(options.others)
        same = options.same
        if left <= self._needed(row, state) + NEAR:
            others = [t for t in others if self._needed(row, options.others[t]) <= left - 1]
            if same is not None and self._needed(row, state) > left - 1:
                same = None
        if self.grammars[row].is_final(state):
            others.append(self.end_id)
        found = torch.tensor(others, dtype=torch.long)
        return found if same is None else torch.cat([same, found])

    def _state(self, row: int, ids: tuple[int, ...]) -> State | None:
        """The state after some tokens; None behind the end."""
        if not ids:
            return self.grammars[row].start_state
        key = (row, ids)
        if key not in self._states:
            self._states.pop((row, ids[:-2]), None)
            before = self._state(row, ids[:-1])
            after = None
            if before is not None and ids[-1] != self.end_id:
                text = self.trie.token_bytes[ids[-1]] or b""
                after = self.grammars[row].advance(before, text)
            self._states[key] = after
        return self._states[key]

    def _options_of(self, row: int, state: State) -> Options:
        known = self._options[row]
        if state not in known:
            same, others = self.trie.allowed(self.grammars[row], state)
            known[state] = Options(same, others)
        return known[state]

    def _needed(self, row: int, state: State) -> int:
        """Tokens that it takes to end a text, with the end token."""
        known = self._needs[row]
        if state not in known:
            known[state] = len(self.trie.shortest(self.grammars[row].closing(state))) + 1
        return known[state]
