from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.manifests.markers import file_sha256
from talkover.manifests.seeds import generator
from talkover.simulate.config import RegistrationConfig, RoomConfig
from talkover.simulate.corpus import open_corpora
from talkover.simulate.plan import PlannedRegistration, PlannedSpeaker
from talkover.simulate.registration import RegistrationPlanner
from talkover.simulate.registration_clips import ClipWriter, clip_name, clip_samples
from talkover.simulate.source_cache import SourceCache

RATE = 16000


@pytest.fixture(scope="module")
def cache(
    tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> SourceCache:
    corpora = open_corpora([str(tone_corpus(speakers=6))])
    return SourceCache.build(corpora, tmp_path_factory.mktemp("cache") / "c", RATE)


def planner(cache: SourceCache, **asked: object) -> RegistrationPlanner:
    return RegistrationPlanner(config=RegistrationConfig(**asked), cache=cache, seed=3)


def speakers(*names: str) -> tuple[PlannedSpeaker, ...]:
    return tuple(
        PlannedSpeaker(speaker=name, speaker_local=f"S{n + 1:02d}", level_dbfs=-26.0)
        for n, name in enumerate(names)
    )


PAIR = speakers("spk1", "spk4")


def test_every_speaker_has_a_clip_of_every_length(cache: SourceCache) -> None:
    rows = planner(cache, lengths=(1.0, 2.5, 4.0)).clips(0, PAIR, set(), None)
    got = [(row.speaker, row.speaker_local, row.length) for row in rows]
    assert got == [(s.speaker, s.speaker_local, length) for s in PAIR for length in (1.0, 2.5, 4.0)]
    for row in rows:
        samples = clip_samples(row, None, cache)
        assert len(samples) == round(row.length * RATE)
        assert {cache.utterance(n).speaker for n in row.utterances} == {row.speaker}


def test_what_is_heard_in_the_session_is_in_no_clip(cache: SourceCache) -> None:
    everything = planner(cache, lengths=(3.0,)).clips(0, PAIR, set(), None)
    heard = {number for row in everything for number in row.utterances}
    others = planner(cache, lengths=(3.0,)).clips(0, PAIR, heard, None)
    assert len(others) == 2
    assert not heard & {number for row in others for number in row.utterances}


def test_nor_what_is_from_a_recording_that_is_heard(
    cache: SourceCache, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Utterances 2n and 2n + 1 of a speaker are now of one recording.
    def recording(self: RegistrationPlanner, number: int) -> tuple[str, str]:
        return "tones", f"r{number // 2}"

    monkeypatch.setattr(RegistrationPlanner, "_recording", recording)
    pool = cache.utterances_of(cache.speakers.index("spk1"))
    heard = {int(n) for n in pool[pool % 2 == 0][:4]}
    near = {n + 1 for n in heard}
    one = speakers("spk1")
    strict = planner(cache, lengths=(0.5, 1.0, 2.0, 4.0)).clips(0, one, heard, None)
    assert strict
    assert not near & {n for row in strict for n in row.utterances}
    loose = planner(cache, lengths=(8.0,), same_recording=True).clips(0, one, heard, None)
    assert near & {n for row in loose for n in row.utterances}


def test_distractors_are_not_in_the_session_and_differ_between_sessions(
    cache: SourceCache,
) -> None:
    asked = planner(cache, lengths=(1.0,), distractors=2)
    found = []
    for session in range(8):
        rows = [r for r in asked.clips(session, PAIR, set(), None) if r.speaker_local is None]
        names = {row.speaker for row in rows}
        assert len(names) == 2
        assert not names & {"spk1", "spk4"}
        found.append(frozenset(names))
    assert len(set(found)) > 1


def test_more_distractors_than_there_are_gives_all(cache: SourceCache) -> None:
    rows = planner(cache, lengths=(1.0,), distractors=100).clips(0, PAIR, set(), None)
    assert sum(row.speaker_local is None for row in rows) == 4
    assert planner(cache, lengths=(1.0,), distractors=100).asked(2) == 102


def test_sessions_share_clips(cache: SourceCache) -> None:
    asked = planner(cache, lengths=(1.0, 3.0), distractors=3)
    names = [
        clip_name(row, None, cache)
        for session in range(20)
        for row in asked.clips(session, PAIR, set(), None)
    ]
    assert len(names) == 20 * 2 * 5
    assert len(set(names)) == 6 * 2  # speakers × lengths


def test_too_little_speech_gives_no_clip_of_that_length(cache: SourceCache) -> None:
    rows = planner(cache, lengths=(1.0, 600.0)).clips(0, PAIR, set(), None)
    assert [row.length for row in rows] == [1.0, 1.0]
    assert planner(cache, lengths=()).clips(0, PAIR, set(), None) == ()


def test_lengths_are_put_in_order() -> None:
    assert RegistrationConfig(lengths=(30, 3, 10, 3)).lengths == (3, 10, 30)
    assert RegistrationConfig(lengths=(10, 3)).lengths == (3, 10)
    with pytest.raises(ValueError, match="greater than 0"):
        RegistrationConfig(lengths=(0.0,))
    with pytest.raises(ValueError, match="100"):
        RegistrationConfig(distractors=101)


def test_another_room_is_heard_in_the_clip_and_the_level_stays(cache: SourceCache) -> None:
    asked = planner(cache, lengths=(3.0,), room="other", rooms=2)
    rooms = asked.rooms(RoomConfig(t60=(0.4, 0.5), microphones="circular8"))
    assert len(rooms) == 2
    assert all(room.num_channels == 1 for room in rooms)
    for row in asked.clips(0, PAIR, set(), None):
        assert row.room is not None
        dry = clip_samples(row, None, cache).astype(float)
        wet = clip_samples(row, rooms[row.room], cache).astype(float)
        assert len(dry) == len(wet)
        assert np.sqrt(np.mean(wet**2)) == pytest.approx(np.sqrt(np.mean(dry**2)), rel=0.01)
        assert 0.2 < abs(np.corrcoef(dry, wet)[0, 1]) < 0.999
        assert clip_name(row, rooms[row.room], cache) != clip_name(row, None, cache)


def test_other_rooms_hold_for_the_whole_run_and_are_shoeboxes(cache: SourceCache) -> None:
    asked = planner(cache, lengths=(1.0,), room="other")
    assert asked.rooms(RoomConfig()) == asked.rooms(RoomConfig())
    assert {room.kind for room in asked.rooms(RoomConfig(kind="dry"))} == {"shoebox"}
    assert planner(cache, lengths=(1.0,)).rooms(RoomConfig()) == ()


def test_two_writers_write_the_same_file(cache: SourceCache, tmp_path: Path) -> None:
    row = planner(cache, lengths=(2.0,)).clips(0, PAIR, set(), None)[0]
    plan = FakePlan((row,))
    first = ClipWriter(tmp_path, cache).write(plan)[0]
    before = file_sha256(tmp_path / first.path)
    second = ClipWriter(tmp_path, cache).write(plan)[0]
    assert first == second
    assert before == first.sha256 == file_sha256(tmp_path / first.path)
    assert [p for p in (tmp_path / "registration").rglob("*") if p.is_file()] == [
        tmp_path / first.path
    ]
    samples, rate = soundfile.read(tmp_path / first.path)
    assert rate == RATE
    assert len(samples) / rate == first.duration == first.length


def test_a_damaged_or_lost_clip_is_written_again(cache: SourceCache, tmp_path: Path) -> None:
    row = planner(cache, lengths=(2.0,)).clips(0, PAIR, set(), None)[0]
    plan = FakePlan((row,))
    clip = ClipWriter(tmp_path, cache).write(plan)[0]
    (tmp_path / clip.path).write_bytes(b"half a file")
    ClipWriter(tmp_path, cache).write(plan)  # a resumed run
    assert file_sha256(tmp_path / clip.path) == clip.sha256
    writer = ClipWriter(tmp_path, cache)
    writer.write(plan)
    (tmp_path / clip.path).unlink()
    writer.write(plan)
    assert file_sha256(tmp_path / clip.path) == clip.sha256


def test_pieces_of_a_clip_meet_without_a_click(cache: SourceCache) -> None:
    row = planner(cache, lengths=(4.0,)).clips(0, PAIR, set(), None)[0]
    samples = clip_samples(row, None, cache)
    place = 0
    for number in row.utterances[:-1]:
        place += cache.utterance(number).speech_samples
        assert np.abs(samples[place - 2 : place + 2]).max() < 0.01
    assert abs(samples[0]) < 0.01 and abs(samples[-1]) < 0.01


def test_a_clip_depends_on_the_seed_of_the_run_alone(cache: SourceCache) -> None:
    rows = [planner(cache, lengths=(2.0,)).clips(n, PAIR, set(), None) for n in (0, 5)]
    assert rows[0] == rows[1]
    other = RegistrationPlanner(config=RegistrationConfig(lengths=(2.0,)), cache=cache, seed=4)
    assert other.clips(0, PAIR, set(), None) != rows[0]
    assert generator(3, 0, "x").random() != generator(4, 0, "x").random()


class FakePlan:
    """The parts of a plan that a writer reads."""

    sampling_rate = RATE
    registration_rooms = ()

    def __init__(self, registration: tuple[PlannedRegistration, ...]) -> None:
        self.registration = registration
