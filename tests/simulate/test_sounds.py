"""Sound events and music: what is planned, what is heard, and what the labels say."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.schema import Asked, Metres
from talkover.simulate.config import MusicConfig, RoomConfig, SoundsConfig
from talkover.simulate.plan import Placement, PlannedSpeaker, RoomPlan, SessionPlan, SoundPlan
from talkover.simulate.responses import point_delay, point_response
from talkover.simulate.rooms import draw_room
from talkover.simulate.sound_clips import SoundCollection, Sounds
from talkover.simulate.sound_plan import draw_sounds, number_of_events
from talkover.simulate.sounds import SoundTrack, audible_span, looped, sound_layers

RATE = 16000
SECONDS = 40
FIELDS = ("clip_id", "file", "label", "kind", "licence", "author", "source")


def burst(seconds: float, seed: int) -> np.ndarray:
    return 0.3 * np.random.default_rng(seed).standard_normal(round(seconds * RATE))


def silence(seconds: float) -> np.ndarray:
    return np.zeros(round(seconds * RATE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two events with silence around them, a long one, and music; a manifest of them."""
    path = tmp_path_factory.mktemp("sounds")
    clips = {
        "bark": np.concatenate([silence(0.5), burst(0.4, 1), silence(1.0), burst(0.7, 2)]),
        "knock": np.concatenate([burst(0.3, 3), silence(2.0)]),
        "rain": burst(9.0, 4),
        "song": burst(6.0, 5),
        "fan": burst(3.0, 6),
        "empty": silence(1.0),
    }
    kinds = {"song": "music", "fan": "noise"}
    with (path / "manifest.csv").open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, fieldnames=FIELDS)
        writer.writeheader()
        for name, samples in clips.items():
            soundfile.write(path / f"{name}.wav", samples, RATE, subtype="PCM_16")
            writer.writerow(
                {
                    "clip_id": f"c-{name}",
                    "file": f"{name}.wav",
                    "label": name,
                    "kind": kinds.get(name, "environment"),
                    "licence": "CC-BY-NC 4.0" if name == "rain" else "CC0-1.0",
                    "author": f"author of {name}",
                    "source": "https://example.org",
                }
            )
    return path


@pytest.fixture(scope="module")
def sounds(folder: Path) -> Sounds:
    return Sounds(
        events=SoundCollection.open(folder, RATE, "sound"),
        music=SoundCollection.open(folder, RATE, "music"),
    )


def room(microphones: str = "single", **ranges: object) -> RoomPlan:
    return draw_room(
        RoomConfig(microphones=microphones, t60=(0.2, 0.3), **ranges),
        ["S01"],
        np.random.default_rng(0),
        sampling_rate=RATE,
        rirs=None,
    )


def placements(*seconds: tuple[float, float]) -> tuple[Placement, ...]:
    return tuple(
        Placement(
            utterance=0,
            utterance_id="u",
            speaker_local="S01",
            turn=n,
            role="turn",
            start_sample=round(start * RATE),
            source_start=0,
            num_samples=round((end - start) * RATE),
            whole=True,
            gain_db=0.0,
        )
        for n, (start, end) in enumerate(seconds)
    )


def drawn(
    sounds: Sounds,
    *,
    session: int = 0,
    seconds: float = SECONDS,
    hall: RoomPlan | None = None,
    speech: Sequence[Placement] = (),
    music: MusicConfig | None = None,
    **asked: object,
) -> tuple[SoundPlan, ...]:
    hall = hall or room()
    return draw_sounds(
        SoundsConfig(**{"per_minute": (20.0, 20.0), **asked}),
        music or MusicConfig(probability=0.0),
        seed=1,
        session=session,
        sounds=sounds,
        room=hall,
        delay=partial(delay_in, hall),
        sampling_rate=RATE,
        num_samples=round(seconds * RATE),
        placements=speech,
    )


def delay_in(where: RoomPlan, place: Metres) -> int:
    return point_delay(where, place, RATE)


def session_of(rows: tuple[SoundPlan, ...], where: RoomPlan, seconds: float = SECONDS):
    return SessionPlan(
        session_id="s000000-test",
        session_index=0,
        root_seed=1,
        configuration_hash="0" * 64,
        corpus_hash="0" * 64,
        sampling_rate=RATE,
        num_samples=round(seconds * RATE),
        speakers=(PlannedSpeaker(speaker="a", speaker_local="S01"),),
        placements=(),
        room=where,
        sounds=rows,
        peak_dbfs=-1.0,
        asked=Asked(),
    )


def heard(plan: SessionPlan, sounds: Sounds, block: int = 5000) -> list[np.ndarray]:
    """Every layer's signal, ``[C, T]``."""
    point = partial(response_in, plan.room)
    signals = []
    for layer in sound_layers(plan, sounds=sounds, point=point):
        blocks = [
            np.zeros((plan.room.num_channels, min(block, plan.num_samples - start)), np.float32)
            if piece is None
            else np.array(piece)
            for start, piece in zip(
                range(0, plan.num_samples, block), layer.blocks(block), strict=True
            )
        ]
        signals.append(np.concatenate(blocks, axis=1))
    return signals


def response_in(where: RoomPlan, place: Metres) -> np.ndarray:
    return point_response(where, place, RATE)


def test_a_collection_knows_where_its_clips_sound(sounds: Sounds) -> None:
    assert sounds.events is not None and sounds.music is not None
    assert sounds.events.labels == ("bark", "knock", "rain")
    assert sounds.music.labels == ("song",)
    runs = sounds.events.clips["c-bark"].runs
    right = [(0.5, 0.9), (1.9, 2.6)]
    assert len(runs) == 2
    for (start, end), (first, last) in zip(runs, right, strict=True):
        assert start / RATE == pytest.approx(first, abs=0.003)
        assert end / RATE == pytest.approx(last, abs=0.003)
    assert sounds.events.rejected == (("empty.wav", "silent"),)


def test_folders_name_the_labels_where_there_is_no_manifest(tmp_path: Path) -> None:
    for label in ("dog", "door"):
        (tmp_path / label).mkdir()
        soundfile.write(tmp_path / label / "1.wav", burst(0.5, len(label)), RATE)
    (tmp_path / "dog" / "copy.wav").write_bytes((tmp_path / "dog" / "1.wav").read_bytes())
    found = SoundCollection.open(tmp_path, RATE, "sound")
    assert found.labels == ("dog", "door")
    assert list(found.clips) == ["dog/1", "door/1"]
    assert found.rejected == (("dog/copy.wav", "same content as dog/1"),) or found.rejected == (
        ("dog/1.wav", "same content as dog/copy"),
    )


def test_bad_collections_are_refused_with_the_reason(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="neither a folder nor a manifest"):
        SoundCollection.open(tmp_path / "none", RATE, "sound")
    with pytest.raises(ConfigurationError, match="no usable sound event"):
        SoundCollection.open(tmp_path, RATE, "sound")
    manifest = tmp_path / "manifest.csv"
    manifest.write_text("clip_id,file\na,a.wav\n", encoding="utf8")
    with pytest.raises(ManifestError, match="no column 'label'"):
        SoundCollection.open(tmp_path, RATE, "sound")
    manifest.write_text("clip_id,file,label\na,gone.wav,x\n", encoding="utf8")
    with pytest.raises(ConfigurationError, match=r"gone\.wav"):
        SoundCollection.open(tmp_path, RATE, "sound")


def test_the_number_of_events_has_the_asked_rate() -> None:
    asked = SoundsConfig(per_minute=(2.0, 6.0))
    counts = [number_of_events(asked, 1, n, 60.0) for n in range(3000)]
    assert np.mean(counts) == pytest.approx(4.0, abs=0.15)
    assert np.var(counts) == pytest.approx(4.0 + 16 / 12, rel=0.15)  # Poisson over a uniform rate


def test_events_lie_in_the_session_with_the_lengths_and_ratios_that_were_asked(
    sounds: Sounds,
) -> None:
    rows = [
        row
        for n in range(20)
        for row in drawn(
            sounds,
            session=n,
            length=(0.2, 2.0),
            snr_db=(3.0, 9.0),
            snr_by_label={"rain": (20.0, 21.0)},
        )
    ]
    assert len(rows) > 150
    for row in rows:
        start, count = audible_span(row)
        assert 0 <= row.start_sample <= start and start + count <= SECONDS * RATE
        assert 0.2 * RATE <= count <= 2.0 * RATE
        low, high = (20.0, 21.0) if row.label == "rain" else (3.0, 9.0)
        assert low <= row.snr_db <= high
    assert {row.label for row in rows} == {"bark", "knock", "rain"}
    ids = [row.id for row in drawn(sounds)]
    assert ids == [f"e{n:03d}" for n in range(len(ids))]


def test_only_the_asked_labels_are_drawn(sounds: Sounds) -> None:
    assert {row.label for row in drawn(sounds, labels=("knock",))} == {"knock"}


def test_events_keep_out_of_speech_where_they_are_told_to(sounds: Sounds) -> None:
    speech = placements((0, 15), (18, 30), (33, 40))
    rows = [r for n in range(10) for r in drawn(sounds, session=n, speech=speech, where="pauses")]
    assert len(rows) > 20
    for row in rows:
        start, count = audible_span(row)
        for p in speech:
            assert start + count <= p.start_sample or start >= p.start_sample + p.num_samples
    over = [r for n in range(10) for r in drawn(sounds, session=n, speech=speech)]
    assert any(audible_span(row)[0] < 15 * RATE for row in over)
    full = placements((0, 40))
    assert drawn(sounds, speech=full, where="pauses") == ()


def test_more_music_changes_no_event(sounds: Sounds) -> None:
    events = drawn(sounds)
    both = drawn(sounds, music=MusicConfig())
    kept = [row.model_copy(update={"id": ""}) for row in both if row.kind == "sound"]
    assert kept == [row.model_copy(update={"id": ""}) for row in events]
    assert sum(row.kind == "music" for row in both) == 1


@pytest.mark.parametrize("microphones", ["single", "circular4"])
def test_an_event_is_heard_when_its_label_says(sounds: Sounds, microphones: str) -> None:
    where = room(microphones, directivity="omni")
    rows = drawn(sounds, hall=where, labels=("knock", "bark"))
    plan = session_of(rows, where)
    assert len(rows) > 5
    for row, signal in zip(rows, heard(plan, sounds), strict=True):
        start, count = audible_span(row)
        assert not np.abs(signal[0, : start - 32]).max() > 1e-3 * np.abs(signal).max()
        loud = np.flatnonzero(np.abs(signal[0]) > 0.05 * np.abs(signal[0]).max())
        assert loud[0] == pytest.approx(start, abs=0.005 * RATE)
        assert loud[-1] > start + count - 0.02 * RATE
        # The direct sound comes when the label begins, to the sample.
        clip = sounds.events.samples(sounds.events.clip(row.clip, row.clip_sha256))
        dry = clip[row.source_start : row.source_start + count].astype(float)
        cross = np.correlate(signal[0, start - 50 : start + count].astype(float), dry[: RATE // 8])
        assert int(np.argmax(np.abs(cross))) - 50 == pytest.approx(0, abs=1)


def test_the_size_of_blocks_does_not_matter(sounds: Sounds) -> None:
    where = room("pair")
    plan = session_of(drawn(sounds, hall=where, music=MusicConfig()), where)
    for one, other in zip(heard(plan, sounds, 3000), heard(plan, sounds, 100_000), strict=True):
        assert np.array_equal(one, other)


def test_a_spread_sound_comes_from_several_places(sounds: Sounds) -> None:
    where = room("circular4")
    rows = drawn(sounds, hall=where, placement="spread")
    assert all(len(row.positions_m) == 4 for row in rows)
    for row in rows:
        assert row.direct_delay_samples == min(delay_in(where, p) for p in row.positions_m)


def test_sounds_keep_away_from_walls_and_microphones(sounds: Sounds) -> None:
    where = room("circular8")
    for row in drawn(sounds, hall=where):
        for place in row.positions_m:
            assert all(
                0.3 <= x <= side - 0.3 for x, side in zip(place, where.dimensions_m, strict=True)
            )
            distances = [
                np.linalg.norm(np.subtract(place, m)) for m in where.microphone_positions_m
            ]
            assert min(distances) >= 0.5


def test_a_dry_room_has_no_places(sounds: Sounds) -> None:
    where = draw_room(
        RoomConfig(kind="dry"), ["S01"], np.random.default_rng(0), sampling_rate=RATE, rirs=None
    )
    rows = drawn(sounds, hall=where)
    assert rows and all(row.positions_m == () and not row.direct_delay_samples for row in rows)
    assert all(signal.any() for signal in heard(session_of(rows, where), sounds))


def test_music_lasts_as_asked_and_is_repeated_without_a_seam(sounds: Sounds) -> None:
    asked = MusicConfig(share=(0.5, 0.8), fade=1.0)
    for n in range(6):
        (row,) = drawn(sounds, session=n, per_minute=(0.0, 0.0), music=asked)
        assert 0.5 * SECONDS * RATE <= row.num_samples <= 0.8 * SECONDS * RATE
        assert row.num_samples > row.source_samples  # six seconds are repeated
        clip = sounds.music.samples(sounds.music.clip(row.clip, row.clip_sha256))
        track = SoundTrack(row, clip, RATE)
        whole = track.block(0, SECONDS * RATE)
        assert whole is not None
        level = np.sqrt(np.convolve(whole**2, np.ones(1600) / 1600, mode="same"))
        inside = level[
            row.start_sample + RATE + 1600 : row.start_sample + row.num_samples - RATE - 1600
        ]
        assert inside.min() > 0.8 * np.median(inside)
        assert inside.max() < 1.2 * np.median(inside)
        assert not whole[: row.start_sample].any()
        assert level[row.start_sample + 800] < 0.2 * np.median(inside)  # fades in


def test_a_loop_meets_itself() -> None:
    tone = np.sin(2 * np.pi * 100 * np.arange(16000) / RATE).astype(np.float32)
    loop = looped(tone, 1600)
    twice = np.concatenate([loop, loop])
    assert np.abs(np.diff(twice)).max() < 2 * np.abs(np.diff(tone)).max()


def test_another_content_under_the_same_name_is_refused(sounds: Sounds) -> None:
    rows = drawn(sounds)
    plan = session_of((rows[0].model_copy(update={"clip_sha256": "f" * 64}),), room())
    with pytest.raises(ConfigurationError, match=r"another content.*sounds\.path"):
        heard(plan, sounds)
    with pytest.raises(ConfigurationError, match=r"give sounds\.path"):
        sound_layers(session_of(rows, room()), sounds=None, point=partial(response_in, room()))


def test_hashes_follow_contents_not_paths(sounds: Sounds, folder: Path, tmp_path: Path) -> None:
    copy = tmp_path / "elsewhere"
    copy.mkdir()
    for file in folder.iterdir():
        (copy / file.name).write_bytes(file.read_bytes())
    again = SoundCollection.open(copy, RATE, "sound")
    assert sounds.events is not None
    assert again.sha256() == sounds.events.sha256()
    clips = dict(again.clips)
    clips["c-bark"] = replace(clips["c-bark"], label="dog")
    assert replace(again, clips=clips).sha256() != again.sha256()


def test_real_clips_are_usable(shared_data: Path) -> None:
    found = SoundCollection.open(shared_data / "sounds", RATE, "sound")
    assert len(found.clips) >= 150 and len(found.labels) >= 10
    assert all(clip.licence and clip.attribution for clip in found.clips.values())
    sneezes = found.of("person_sneeze")
    assert all(run[1] - run[0] < 4 * RATE for clip in sneezes for run in clip.runs)
