"""Who is registered for a batch: nobody, everybody who speaks, or also others; by which names.

SpeakerLM (arXiv 2508.06372) draws one mode for each training batch: ``match`` registers the
speakers of each recording, ``no`` nobody, ``over`` the speakers and 1 to 50 people who are not
there. Ours is ``part``: each speaker is registered or not by chance, besides the people who are not
there, so that known and new voices meet in one recording, as in the later pieces of a long one.

Everything is drawn from (seed, number of the batch); the names too (`talkover.model.data.names`).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Literal, Protocol, get_args

import numpy as np
from torch import nn

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Session
from talkover.manifests.seeds import generator
from talkover.model.data.clips import ClipTable, clip_table
from talkover.model.data.enrolment import Vector, clip_vectors, mean_vector
from talkover.model.data.examples import Example, Registered, Unusable
from talkover.model.data.names import drawn_names, renamed
from talkover.model.modeling import SatsModel

Mode = Literal["no", "match", "over", "part"]
MODES: tuple[Mode, ...] = get_args(Mode)

ORDER: tuple[Mode, ...] = ("match", "no", "over", "part")
"""In which the shares lie on [0, 1): below a third match, below two thirds no, else over."""


VectorsOf = Callable[[Sequence[Path], Sequence[Path]], tuple[dict[Path, Vector], dict[str, str]]]
"""From clips and folders of manifests to vectors, and why some clips have none."""


class RegistrationChoice(Protocol):
    """What a stage says of registration; `talkover.model.data.feeds.Choice` is one."""

    @property
    def registration(self) -> Mapping[str, float]:
        """Weights of the modes; none for no registration at all."""
        ...

    @property
    def distractors(self) -> tuple[int, int]:
        """Fewest and most people who are registered and not there."""
        ...


@dataclass(frozen=True, kw_only=True)
class Draw:
    """What is drawn for one batch."""

    choice: RegistrationChoice
    seed: int
    number: int
    """Of the batch, over all processes."""

    def mode(self) -> tuple[Mode, int]:
        """The mode, and how many distractors are registered."""
        weights = self.choice.registration
        total = sum(weights.values())
        if total <= 0:
            return "no", 0
        rng = generator(self.seed, self.number, "model/registration/mode")
        share, chosen = float(rng.random()) * total, ORDER[0]
        low, high = self.choice.distractors
        count = int(rng.integers(low, high + 1))
        for mode in ORDER:
            chosen = mode if weights.get(mode, 0.0) > 0 else chosen
            share -= weights.get(mode, 0.0)
            if share < 0:
                break
        return chosen, count if chosen in ("over", "part") else 0


def check_choice(choice: RegistrationChoice) -> None:
    """Refuse modes and numbers that there are not.

    Raises:
        ValueError: With the field.
    """
    unknown = sorted(set(choice.registration) - set(MODES))
    if unknown or any(not weight >= 0 for weight in choice.registration.values()):
        raise ValueError(
            f"registration must give weights of {', '.join(MODES)}, got {dict(choice.registration)}"
        )
    low, high = choice.distractors
    if not 0 <= low <= high:
        raise ValueError(f"distractors must be 0 <= fewest <= most, got {low} and {high}")


def asks(choice: RegistrationChoice) -> bool:
    """Whether anybody is ever registered."""
    return any(weight > 0 for mode, weight in choice.registration.items() if mode != "no")


class Registrar:
    """Registers speakers from the clips of manifests; see `registrar_of`."""

    def __init__(self, table: ClipTable, vectors: Mapping[Path, Vector]) -> None:
        """Take the clips and their vectors; speakers without a vector cannot be registered."""
        self.table, self.vectors = table, dict(vectors)
        self._known = {
            speaker: kept
            for speaker, groups in table.groups.items()
            if (kept := [group for group in groups if any(c.path in vectors for c in group)])
        }

    def check(self, example: Example) -> None:
        """Refuse a session whose clips are of its own audio.

        Raises:
            Unusable: With the clip.
        """
        if (reason := self.table.leak(example.session)) is not None:
            raise Unusable(reason)

    def speakers(self, example: Example) -> dict[str, Vector]:
        """Vectors of the speakers of an example, of those who have clips.

        Raises:
            Unusable: As `check`.
        """
        self.check(example)
        speakers = [voice.speaker for voice in example.voices]
        return self.vectors_of(example.session, speakers, example.utterances)

    def vectors_of(
        self, session: str, speakers: Iterable[str], utterances: Collection[str]
    ) -> dict[str, Vector]:
        """Vectors of the speakers of a session, of those who have clips.

        Args:
            session: Id of the whole session.
            speakers: Corpus-wide ids.
            utterances: Source utterances of the whole session.
        """
        found: dict[str, Vector] = {}
        for speaker in speakers:
            group = self.table.group(session, speaker, utterances)
            clips = [] if group is None else [clip.path for clip in group]
            vector = mean_vector(clips, self.vectors)
            if vector is not None:
                found[speaker] = vector
        return found

    def strangers(
        self, present: Iterable[str], count: int, rng: np.random.Generator
    ) -> dict[str, Vector]:
        """So many people who are not present, or all there are; each by one session's clips."""
        absent = sorted(set(self._known) - set(present))
        chosen = rng.choice(len(absent), size=min(count, len(absent)), replace=False)
        found: dict[str, Vector] = {}
        for place in chosen.tolist():
            groups = self._known[absent[place]]
            group = groups[int(rng.integers(len(groups)))]
            vector = mean_vector([clip.path for clip in group], self.vectors)
            assert vector is not None
            found[absent[place]] = vector
        return found

    def register(
        self, example: Example, mode: Mode, distractors: int, rng: np.random.Generator
    ) -> Example:
        """The example with registered speakers under drawn names, which its transcript uses.

        Raises:
            Unusable: If a clip of the session is of the session's own audio.
        """
        if mode == "no":
            return example
        vectors = self.speakers(example)
        present = {voice.speaker for voice in example.voices}
        if mode == "part":
            vectors = {name: v for name, v in vectors.items() if rng.random() < 0.5}
        vectors |= self.strangers(present, distractors, rng)
        people = sorted(vectors)
        names = dict(zip(people, drawn_names(len(people), rng), strict=True))
        order = [people[place] for place in rng.permutation(len(people)).tolist()]
        return registered_example(
            example,
            [Registered(name=names[p], speaker=p, vector=vectors[p]) for p in order],
        )

    def registered(self, examples: Sequence[Example], draw: Draw) -> list[Example]:
        """A batch's examples as drawn for it; instruction rows stay as they are."""
        mode, distractors = draw.mode()
        found = []
        for row, example in enumerate(examples):
            rng = generator(draw.seed, draw.number, f"model/registration/row/{row}")
            is_plain = example.instruction is not None
            found.append(example if is_plain else self.register(example, mode, distractors, rng))
        return found


def registered_example(example: Example, registered: Sequence[Registered]) -> Example:
    """The example with these people registered, and their names in its transcript."""
    names = {r.speaker: r.name for r in registered if r.speaker is not None}
    transcript = renamed(example.transcript, example.labels, names)
    turns = zip(example.transcript.turns, transcript.turns, strict=True)
    now = {before.speaker: after.speaker for before, after in turns}
    return replace(
        example,
        registered=tuple(registered),
        transcript=transcript,
        labels={speaker: now.get(label, label) for speaker, label in example.labels.items()},
    )


def without_strangers(example: Example) -> Example:
    """The example with half as many people registered who are not there, the first ones."""
    present = {voice.speaker for voice in example.voices}
    strangers = [r for r in example.registered if r.speaker not in present]
    kept = {id(r) for r in strangers[: len(strangers) // 2]}
    return replace(
        example,
        registered=tuple(r for r in example.registered if r.speaker in present or id(r) in kept),
    )


def registrar_of(
    sessions: Iterable[tuple[Session, Path]],
    model: SatsModel,
    *,
    vectors_of: VectorsOf | None = None,
) -> Registrar:
    """A registrar over the clips of some sessions, each with the folder of its manifest.

    The speaker encoder must be frozen: vectors are made once, with the weights as they are.

    Args:
        sessions: With the folders of their manifests.
        model: Makes the vectors.
        vectors_of: Makes others; None for those that the model reads.

    Raises:
        ConfigurationError: If there is no clip that can be used, or the speaker encoder is trained.
        ManifestError: If given vectors cannot be read.
    """
    pairs = list(sessions)
    table = clip_table(pairs)
    if model.parts.registration_width is None and model.speaker is not None:
        _check_encoder(model.speaker, is_training=model.training)
    paths = table.paths()
    if not paths:
        leaks = next(iter(table.leaks.values()), "no session has registration clips")
        raise ConfigurationError(
            f"registration is asked for, but there is no clip to use: {leaks}; simulate with "
            "registration.lengths, or leave out the stage's registration"
        )
    made = vectors_of or partial(clip_vectors, model)
    vectors, faults = made(paths, [folder for _, folder in pairs])
    if not vectors:
        clip, reason = next(iter(faults.items()))
        raise ConfigurationError(f"no registration clip can be used: {clip}: {reason}")
    return Registrar(table, vectors)


def _check_encoder(encoder: nn.Module, *, is_training: bool) -> None:
    """Refuse an encoder whose vectors would not stay true, or that is spread over processes.

    Raises:
        ConfigurationError: With what to do.
    """
    parameters = list(encoder.parameters())
    if is_training and any(parameter.requires_grad for parameter in parameters):
        raise ConfigurationError(
            "registration needs a frozen speaker encoder, but this stage trains speaker.*: "
            "leave it out of the stage's trainable globs"
        )
    if any(hasattr(parameter, "full_tensor") for parameter in parameters):
        raise ConfigurationError(
            "registration by the model's own speaker encoder does not work with sharding full: "
            "take sharding no, or given vectors (model.registration_width)"
        )
