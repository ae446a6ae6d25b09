"""Which windows form which batch of a stage, and how a batch is made of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property, partial
from itertools import accumulate
from typing import Literal

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import UnknownCharacter
from talkover.model.data.choice import Choice, Handed, attempt, drawn_speed
from talkover.model.data.clips import utterances_of
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import (
    Group,
    Part,
    group_duration,
    joined,
    plan_groups,
    require_joined,
)
from talkover.model.data.entries import Entry, recut, usable, weight_of
from talkover.model.data.examples import Example, Unusable, unheard_example
from talkover.model.data.given import Vectors
from talkover.model.data.order import plan_epoch, shuffled_copies, within
from talkover.model.data.registration import Draw

Planned = tuple[int, int, list[Group]]
"""Number of a batch over all processes, its epoch, and its rows."""

UNPLANNABLE = 1
"""Positions of what has no layout; it is left out with its reason when it is read."""


class Rows:
    """What one stage draws of the entries, and which rows form which batch."""

    def __init__(
        self,
        entries: Sequence[Entry],
        collator: Collator,
        choice: Choice,
        *,
        seed: int,
        buckets: Literal["lhotse", "plain"],
    ) -> None:
        """Cut the sessions into the windows of the stage.

        Args:
            entries: Windows as the whole training cuts them.
            collator: Makes batches.
            choice: Of the stage.
            seed: Root seed.
            buckets: How like lengths are found.
        """
        self.collator, self.choice, self.buckets = collator, choice, buckets
        if collator.given is not None and set(choice.speeds) != {1.0}:
            raise ConfigurationError(
                f"given vectors cannot be played faster: data.speeds must be [1.0], got "
                f"{list(choice.speeds)}"
            )
        self.seed = seed + choice.salt
        self.entries = recut(entries, choice.windows)

    def epoch(self, epoch: int) -> list[list[Group]]:
        """All batches of an epoch, of all processes."""
        weights = [weight_of(entry, self.choice) for entry in self.entries]
        config = self.choice.concatenate
        if config is None:
            rows = [Group(parts=(index,), pauses=()) for index in range(len(self.entries))]
        else:
            order = shuffled_copies(weights, self.seed, epoch)
            whole = [index for index in order if self.entries[index].row is None]
            rows = plan_groups(self._parts, whole, config, seed=self.seed, epoch=epoch)
            require_joined(rows, config)
            # What is asked of a stretch is not true of several joined.
            alone = (index for index in order if self.entries[index].row is not None)
            rows += [Group(parts=(index,), pauses=()) for index in alone]
            weights = [1.0] * len(rows)
        batches = plan_epoch(
            [group_duration(self._parts, row) for row in rows],
            weights,
            seed=self.seed,
            epoch=epoch,
            seconds=self.choice.seconds,
            buckets=self.buckets,
        )
        if self.choice.tokens is not None:
            lengths = [sum(self._positions[index] for index in row.parts) for row in rows]
            batches = within(batches, lengths, self.choice.tokens)
        return [[rows[index] for index in batch] for batch in batches]

    def handed(self, planned: Planned) -> Handed:
        """The batch that a plan names."""
        number, epoch, rows = planned
        handed = Handed(batch=None)
        examples = [
            example
            for place, row in enumerate(rows)
            for example in self._examples(row, f"{epoch}/{place}", handed)
        ]
        if examples:
            draw = Draw(choice=self.choice, seed=self.seed, number=number)
            handed.batch = self.collator(examples, draw=draw)
        return handed

    def _examples(self, row: Group, name: str, handed: Handed) -> list[Example]:
        """The example of a row, or none and a note of why."""
        first = self.entries[row.parts[0]]
        # The times in an answer are those of the audio as it is.
        is_asked = first.row is not None
        factor = 1.0 if is_asked else drawn_speed(self.choice, self.seed, row.parts[0], name)
        if len(row.parts) > 1:
            return self._joined(row, factor, handed)
        return attempt(
            first.session.id if first.row is None else first.row.id,
            first.load,
            self.collator,
            factor,
            handed,
            whole=first.session,
            row=first.row,
            untranscribed=self.choice.untranscribed,
            vectors=None if self.collator.given is None else partial(self._given, first),
        )

    def _joined(self, row: Group, factor: float, handed: Handed) -> list[Example]:
        """The example of several sessions; those that cannot be used are left out of it."""
        entries = [self.entries[index] for index in row.parts]
        pairs = [(entry, item) for entry in entries for item in usable(entry, handed)]
        if not pairs:
            return []
        items = [item for _, item in pairs]
        pauses = row.pauses[: len(items) - 1]
        given = None
        if self.collator.given is not None:
            given = partial(self._joined_given, [entry for entry, _ in pairs], pauses)
        found = attempt(
            "+".join(item.session.id for item in items),
            lambda: joined(items, pauses),
            self.collator,
            factor,
            handed,
            untranscribed=self.choice.untranscribed,
            vectors=given,
        )
        own = frozenset().union(*(utterances_of(entry.session) for entry in entries))
        return [replace(example, utterances=own) for example in found]

    def _given(self, entry: Entry, num_samples: int) -> Vectors:
        """Given vectors of an entry, so many samples long at the model's rate."""
        assert self.collator.given is not None
        return self.collator.given.window(entry.folder, entry.session, entry.window, num_samples)

    def _joined_given(
        self, entries: Sequence[Entry], pauses: Sequence[float], num_samples: int
    ) -> Vectors:
        """Given vectors of entries that are joined."""
        assert self.collator.given is not None
        rate = self.collator.model.parts.features.sampling_rate
        parts = [self._given(entry, round(entry.duration * rate)) for entry in entries]
        lengths = [e.duration + pause for e, pause in zip(entries, (*pauses, 0.0), strict=True)]
        offsets = [0.0, *accumulate(lengths)][: len(parts)]
        return self.collator.given.joined(parts, offsets, num_samples)

    @cached_property
    def _parts(self) -> list[Part]:
        return [
            Part(
                name=f"{entry.manifest}/{entry.session.id}",
                duration=entry.duration,
                speakers=entry.speakers,
                sampling_rate=entry.session.audio.sampling_rate,
            )
            for entry in self.entries
        ]

    @cached_property
    def _positions(self) -> list[int]:
        """Positions of each entry's layout, played at the slowest speed."""
        collator, slowest = self.collator, min(self.choice.speeds)
        rate = collator.model.parts.features.sampling_rate
        found = []
        for entry in self.entries:
            example = unheard_example(entry.labels(), collator.codec, rate, factor=slowest)
            if entry.row is not None:
                instruction, target = entry.row.instruction, entry.row.target
                example = replace(example, instruction=instruction, target=target)
            try:
                found.append(len(collator.plan(example)))
            except (Unusable, UnknownCharacter):
                found.append(UNPLANNABLE)
        return found
