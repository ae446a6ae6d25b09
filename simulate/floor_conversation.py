"""The fitted floor, spoken with real utterances.

The walk (`talkover.simulate.floor`) proposes units, the chooser finds utterances for them, and what
was really found goes back into the walk, which steers by it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import lru_cache
from pathlib import Path

from talkover.manifests.seeds import content_id, generator
from talkover.simulate.backchannel_supply import BackchannelSource
from talkover.simulate.config import SimulationConfig, UtterancesConfig
from talkover.simulate.conversation import (
    ROLES,
    SCRIPTED,
    Conversation,
    SaidUnit,
    Scene,
    SessionSize,
)
from talkover.simulate.floor import FloorWalk
from talkover.simulate.scripted_conversation import speak_lines
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.turn_sampling import DrawnSession, draw_session
from talkover.simulate.turn_targets import MAX_SPEAKERS, Targets, check_feasible
from talkover.simulate.turns import TurnModel
from talkover.simulate.utterances import UtteranceChooser


@dataclass(frozen=True)
class FloorTurnTaking:
    """Turn-taking by a fitted model.

    Args:
        source: Preset or file.

    Raises:
        ConfigurationError: If there is no such model.
    """

    source: str

    def __post_init__(self) -> None:
        """Read the model once, so that a wrong name is an error here."""
        _ = self.model

    @property
    def model(self) -> TurnModel:
        """The fitted model."""
        return _load(self.source)

    @property
    def identity(self) -> str:
        """Name and hash of the model."""
        return f"{self.model.name}@{content_id(self.model.text(), length=16)}"

    def draw_size(
        self, seed: int, index: int, config: SimulationConfig, most_speakers: int
    ) -> SessionSize:
        """Length and speakers: each from the model unless it is asked."""
        asked = config.session.speakers
        limits = (min(self._fewest, most_speakers), most_speakers)
        if config.turns.shares is not None:
            limits = (len(config.turns.shares),) * 2
        elif asked is not None:
            rng = generator(seed, index, "num_speakers")
            limits = (int(rng.integers(asked[0], asked[1] + 1)),) * 2
        length = self._asked_length(seed, index, config)
        drawn = self._draw(seed, index, config, length, limits)
        longest = config.session.longest
        if length is None and longest is not None and drawn.length > longest:
            drawn = self._draw(seed, index, config, longest, limits)
        return SessionSize(
            speakers=drawn.speakers,
            length=drawn.length,
            rank=drawn.length_rank,
            character=drawn.character,
        )

    def _draw(
        self,
        seed: int,
        index: int,
        config: SimulationConfig,
        length: float | None,
        limits: tuple[int, int],
    ) -> DrawnSession:
        targets = Targets(overlap=config.turns.overlap, silence=config.turns.silence, length=length)
        return draw_session(self.model, seed, index, limits=limits, targets=targets)

    def _asked_length(self, seed: int, index: int, config: SimulationConfig) -> float | None:
        if config.session.length is None:
            return None
        return float(generator(seed, index, "length").uniform(*config.session.length))

    @property
    def _fewest(self) -> int:
        return min(n for n, share in self.model.speakers.counts.items() if share > 0)

    def least_speakers(self, config: SimulationConfig) -> int:
        """All that are asked; of the model's own numbers, its smallest (2 if the corpus has 2)."""
        if config.turns.shares is not None:
            return len(config.turns.shares)
        if config.session.speakers is not None:
            return config.session.speakers[1]
        return min(2, self._fewest)

    def expected_length(self, seed: int, index: int, config: SimulationConfig) -> float:
        """Seconds that the session is asked to have."""
        length = self.draw_size(seed, index, config, MAX_SPEAKERS).length
        assert length is not None, "draw_size gives every session of the floor a length"
        return length

    def longest(self, config: SimulationConfig) -> float | None:
        """The longest that is asked, or that the model draws."""
        if config.session.length is not None:
            return config.session.length[1]
        longest = self.model.sessions.length.at(1.0)
        return min(longest, config.session.longest or longest)

    def check(self, config: SimulationConfig, targets: Targets, cache: SourceCache) -> None:
        """Refuse what no session can meet; lengths of the model are drawn until they suffice."""
        for length in config.session.length or ():
            check_feasible(targets, self.model, length=length)
        if config.session.length is None:
            check_feasible(targets, self.model, length=self.longest(config))

    def shortfalls(self, config: SimulationConfig, cache: SourceCache) -> list[str]:
        """The backchannels that the corpus has no short utterances for; a script has its own."""
        if config.text.order in SCRIPTED:
            return []
        supply = _backchannels(self.source, config.utterances, cache).supply
        return [] if supply.suffices else [supply.line()]

    def converse(self, scene: Scene) -> Conversation:
        """Walk the floor with real utterances, or with the lines of a script."""
        if scene.cast.lines is not None:
            return speak_lines(scene, self.model)
        assert scene.size.length is not None, "draw_size gives every session of the floor a length"
        backchannels = _backchannels(self.source, scene.config.utterances, scene.cache)
        walk = FloorWalk(
            self.model,
            scene.size.speakers,
            scene.rng("turns"),
            targets=replace(scene.targets, backchannel_scale=backchannels.supply.scale),
            length=scene.size.length,
            lead_in=scene.silence("lead_in"),
            lead_out=scene.silence("lead_out"),
            length_rank=scene.size.rank,
            character=scene.size.character,
        )
        return walk_with_utterances(walk, scene, backchannels)


def targets_of(config: SimulationConfig, count: int) -> Targets:
    """What a configuration asks of a session with a number of speakers."""
    turns = config.turns
    shares = turns.shares
    if turns.dominance is not None and count > 1:
        rest = (1 - turns.dominance) / (count - 1)
        shares = (turns.dominance, *(rest,) * (count - 1))
    return Targets(
        speakers=count,
        overlap=turns.overlap,
        silence=turns.silence,
        max_concurrent=turns.max_concurrent,
        talk_shares=shares,
    )


def walk_with_utterances(
    walk: FloorWalk, scene: Scene, backchannels: BackchannelSource
) -> Conversation:
    """Place an utterance, or a part of one, for every unit that the walk proposes."""
    rate = scene.config.sampling_rate
    chooser = UtteranceChooser(
        scene.cache,
        scene.config.utterances,
        rate,
        scene.rng("utterances"),
        scene.cast.pools,
        rank=scene.cast.rank,
        window=scene.config.text.window,
    )
    rng = scene.rng("backchannels")
    units: list[SaidUnit] = []
    wanted: list[float] = []
    placed: list[float] = []
    turn = floor_turn = sayings = 0
    while not walk.done:
        proposal = walk.propose()
        longest = walk.longest(proposal)
        duration: float | None = proposal.duration
        if proposal.kind == "backchannel":
            person = int(scene.cast.people[proposal.speaker])
            duration = backchannels.wanted(person, proposal.duration, longest, rng)
        pieces = duration and chooser.unit(
            proposal.speaker,
            duration,
            longest=longest,
            is_backchannel=proposal.kind == "backchannel",
        )
        if not pieces:
            walk.reject(proposal)
            continue
        last = pieces[-1]
        said = (last.offset + last.slice.speech_samples) / rate
        start = walk.accept(
            proposal, said, pauses=sum(piece.slice.pauses for piece in pieces) / rate
        )
        wanted.append(proposal.duration)
        placed.append(said)
        if proposal.kind == "hold" and units:
            number = floor_turn
        else:
            turn += 1
            number = turn
        if proposal.kind != "backchannel":
            floor_turn = number
        units += [
            SaidUnit(
                proposal.speaker,
                piece.slice,
                round(start * rate) + piece.offset,
                ROLES[proposal.kind],
                number,
                sayings + piece.saying,
            )
            for piece in pieces
        ]
        sayings += pieces[-1].saying + 1
    return Conversation(
        units=units,
        overlap=walk.overlap_target,
        silence=walk.silence_target,
        wanted=wanted,
        placed=placed,
    )


@lru_cache(maxsize=8)
def _load_at(source: str, changed: int) -> TurnModel:
    return TurnModel.load(source)


def _load(source: str) -> TurnModel:
    """A model, read once a process; a file that was written anew is read anew."""
    path = Path(source)
    return _load_at(source, path.stat().st_mtime_ns if path.is_file() else 0)


@lru_cache(maxsize=8)
def _backchannels(source: str, config: UtterancesConfig, cache: SourceCache) -> BackchannelSource:
    """What the corpus' speakers can say, worked out once a process."""
    return BackchannelSource(_load(source), config, cache)
