"""Only tokens that keep every row's text within its grammar: by the row, and for ``generate``.

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


MOST_KEPT = 4096
"""States of a row that are remembered; a text of an hour has tens of thousands."""


@dataclass(frozen=True, slots=True)
class Options:
    """Tokens that may follow in a state."""

    same: Tensor | None
    """Those that keep the state."""
    others: dict[int, State]


class RowConstraint:
    """What one row may write next; told of each token that it writes.

    Args:
        grammar: Of the row.
        trie: The vocabulary.
        end_id: The token that ends a text.
        budget: New tokens at most.

    Raises:
        ConfigurationError: If the budget is too small for an empty text.
    """

    def __init__(self, grammar: Grammar, trie: VocabularyTrie, *, end_id: int, budget: int) -> None:
        """Begin before the first token."""
        self.grammar, self.trie, self.end_id = grammar, trie, end_id
        self.state: State | None = grammar.start_state
        self._options: dict[State, Options] = {}
        self._needs: dict[State, int] = {}
        least = self._needed(grammar.start_state)
        if least > budget:
            raise ConfigurationError(
                f"an empty text takes {least} tokens, the budget is {budget}: raise it"
            )

    def allowed(self, left: int) -> Tensor:
        """Ids that may follow, when so many tokens are left; empty behind the end."""
        return self.allowed_in(self.state, left)

    def advance(self, token: int) -> None:
        """Take a token that was allowed."""
        self.state = self.after(self.state, token)

    def after(self, state: State | None, token: int) -> State | None:
        """The state after a token; None behind the end."""
        if state is None or token == self.end_id:
            return None
        return self.grammar.advance(state, self.trie.token_bytes[token] or b"")

    def allowed_in(self, state: State | None, left: int) -> Tensor:
        """See `allowed`."""
        if state is None:
            return torch.zeros(0, dtype=torch.long)
        options = self._options_of(state)
        others = list(options.others)
        same = options.same
        if left <= self._needed(state) + NEAR:
            others = [t for t in others if self._needed(options.others[t]) <= left - 1]
            if same is not None and self._needed(state) > left - 1:
                same = None
        if self.grammar.is_final(state):
            others.append(self.end_id)
        found = torch.tensor(others, dtype=torch.long)
        return found if same is None else torch.cat([same, found])

    def _options_of(self, state: State) -> Options:
        if state not in self._options:
            if len(self._options) >= MOST_KEPT:
                self._options.clear()
            same, others = self.trie.allowed(self.grammar, state)
            self._options[state] = Options(same, others)
        return self._options[state]

    def _needed(self, state: State) -> int:
        """Tokens that it takes to end a text, with the end token."""
        if state not in self._needs:
            if len(self._needs) >= MOST_KEPT:
                self._needs.clear()
            self._needs[state] = len(self.trie.shortest(self.grammar.closing(state))) + 1
        return self._needs[state]


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
        self.pad_id, self.budget = pad_id, budget
        self.rows = [
            RowConstraint(grammar, trie, end_id=end_id, budget=budget) for grammar in grammars
        ]
        self._states: dict[tuple[int, tuple[int, ...]], State | None] = {}

    def __call__(self, input_ids: Tensor, scores: Tensor) -> Tensor:
        """Scores with the tokens that may not follow at minus infinity."""
        masked = torch.full_like(scores, -torch.inf)
        for place, ids in enumerate(input_ids.tolist()):
            row = place % len(self.rows)
            state = self._state(row, tuple(ids))
            allowed = self.rows[row].allowed_in(state, self.budget - len(ids))
            if state is None:
                allowed = torch.tensor([self.pad_id])
            allowed = allowed.to(scores.device)
            masked[place, allowed] = scores[place, allowed]
        return masked

    def _state(self, row: int, ids: tuple[int, ...]) -> State | None:
        """The state after some tokens; None behind the end."""
        if not ids:
            return self.rows[row].grammar.start_state
        key = (row, ids)
        if key not in self._states:
            self._states.pop((row, ids[:-2]), None)
            self._states[key] = self.rows[row].after(self._state(row, ids[:-1]), ids[-1])
        return self._states[key]
