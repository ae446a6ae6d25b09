"""Who is registered for each session of an evaluation: nobody, its speakers, or also others.

Names are drawn as in training and taken back before scoring, so that figures are of voices and not
of how a name is spelt; the saCER family then holds each name against itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.model.data.clips import utterances_of
from talkover.model.data.examples import Registered
from talkover.model.data.names import drawn_names
from talkover.model.data.registration import Registrar, registrar_of
from talkover.model.evaluate_types import Item
from talkover.model.inference.ears import Ears
from talkover.model.inference.known import check_ears, clip_sums, known_voice
from talkover.model.inference.recognize import Recording
from talkover.model.inference.spoken import Spoken
from talkover.model.modeling import SatsModel

SCORED = ("sawer", "sacer", "delta_sa", "delta_sa_wer", "false_names", "hallucinated_turns")
"""Metrics of registration."""

EVALUATED = ("no", "match", "over")
"""Modes in which a checkpoint can be evaluated."""


@dataclass(frozen=True, kw_only=True)
class People:
    """Who is registered, by session."""

    registered: Mapping[str, tuple[Registered, ...]] = field(default_factory=dict)
    unregistered: int = 0
    """Speakers of sessions without a usable clip."""
    are_read: bool = True
    """Whether the model reads the voices; else they are compared afterwards."""

    def of(self, session: str) -> tuple[Registered, ...]:
        """Whose voices are given with a session."""
        return self.registered.get(session, ())

    def recording(
        self, session: str, samples: NDArray[np.float32], vectors: NDArray[np.float32] | None
    ) -> Recording:
        """A session's recording with the people who are registered for it."""
        people = self.of(session)
        return Recording(
            id=session,
            samples=samples,
            vectors=vectors,
            registered=people if self.are_read else (),
            known=() if self.are_read else tuple(known_voice(r.name, r.vector) for r in people),
        )

    def speakers(self) -> dict[str, list[str]] | None:
        """Ids of the registered speakers by session, for scoring; None where nobody ever is."""
        if not self.registered:
            return None
        return {
            session: sorted(r.speaker for r in people if r.speaker is not None)
            for session, people in self.registered.items()
        }

    def named(self, session: str, spoken: Sequence[Spoken]) -> list[Spoken]:
        """What was said, with the speakers' own ids in the place of the drawn names."""
        ids = {r.name: r.speaker for r in self.of(session) if r.speaker is not None}
        return [replace(s, speaker=ids.get(s.speaker, s.speaker)) for s in spoken]


def register_people(
    items: Sequence[Item],
    model: SatsModel,
    mode: str,
    distractors: int,
    seed: int,
    *,
    ears: Ears | None = None,
) -> People:
    """Draw who is registered.

    Args:
        items: Sessions with the folders of their manifests.
        model: Makes the vectors.
        mode: Of `EVALUATED`.
        distractors: People who are registered for each session and are not in it.
        seed: Root seed.
        ears: Compare voices, for a model that reads none.

    Raises:
        ConfigurationError: If the mode is unknown, or there are not so many people with clips.
        ManifestError: If a session's clip is of its own audio; names session and clip.
    """
    if mode not in EVALUATED or distractors < 0 or (distractors > 0) != (mode == "over"):
        raise ConfigurationError(
            f"registration must be one of {', '.join(EVALUATED)}, with distractors for over alone; "
            f"got {mode} with {distractors}"
        )
    if mode == "no":
        return People()
    vectors_of = None
    are_read = model.parts.layout.registration
    if not are_read:
        if ears is None:
            raise ConfigurationError("this checkpoint takes no registered speakers")
        check_ears(ears)
        vectors_of = partial(clip_sums, ears)
    pairs = [(item.session, item.folder) for item in items]
    registrar = registrar_of(pairs, model, vectors_of=vectors_of)
    for session, reason in registrar.table.leaks.items():
        raise ManifestError(f"{reason}: it may not register anybody", field=session)
    found: dict[str, tuple[Registered, ...]] = {}
    unregistered = 0
    for item in items:
        people, missing = _people(item, registrar, distractors, seed)
        found[item.session.id] = people
        unregistered += missing
    return People(registered=found, unregistered=unregistered, are_read=are_read)


def _people(
    item: Item, registrar: Registrar, distractors: int, seed: int
) -> tuple[tuple[Registered, ...], int]:
    """Who is registered for a session, in a drawn order, and how many of it cannot be."""
    session = item.session
    rng = generator(seed, SESSION_OF_CORPUS, f"evaluate/registration/{session.id}")
    present = sorted({row.speaker for row in session.supervisions})
    vectors = registrar.vectors_of(session.id, present, utterances_of(session))
    missing = len(present) - len(vectors)
    others = registrar.strangers(present, distractors, rng)
    if len(others) < distractors:
        raise ConfigurationError(
            f"{distractors} distractors are asked for, but for session {session.id} only "
            f"{len(others)} other people have clips in the manifests"
        )
    vectors |= others
    speakers = sorted(vectors)
    names = drawn_names(len(speakers), rng)
    order = rng.permutation(len(speakers)).tolist()
    return (
        tuple(
            Registered(name=names[n], speaker=speakers[n], vector=vectors[speakers[n]])
            for n in order
        ),
        missing,
    )
