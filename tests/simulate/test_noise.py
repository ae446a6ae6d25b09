from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import csd, welch

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.schema import Asked
from talkover.simulate.config import NoiseConfig, RoomConfig, load_config
from talkover.simulate.layers import Layer
from talkover.simulate.noise import NoiseCollection, draw_noise, noise_layers
from talkover.simulate.noise_bank import (
    LOOP_FRAMES,
    SPEECH_BANDS_DB,
    SPEECH_BANDS_HZ,
    spectrum_amplitude,
)
from talkover.simulate.plan import NoisePlan, PlannedSpeaker, RoomPlan, SessionPlan
from talkover.simulate.responses import point_response
from talkover.simulate.rooms import draw_room

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
KINDS = ["white", "pink", "speech_shaped"]
SPEED_OF_SOUND = 343.0  # m/s, as in the plan


def room_of(microphones: str) -> RoomPlan:
    config = RoomConfig(t60=(0.2, 0.25), microphones=microphones)
    return draw_room(config, ["S01"], np.random.default_rng(0), sampling_rate=RATE)


ROOMS = {1: room_of("single"), 2: room_of("pair"), 3: room_of("0,0,0;0.1,0,0;0,0.2,0")}


def layer_of(
    plan: NoisePlan,
    num_samples: int,
    channels: int = 1,
    collection: NoiseCollection | None = None,
) -> Layer:
    room = ROOMS[channels]
    session = SessionPlan(
        session_id="s",
        session_index=0,
        root_seed=0,
        configuration_hash="0" * 64,
        corpus_hash="0" * 64,
        sampling_rate=RATE,
        num_samples=num_samples,
        speakers=(PlannedSpeaker(speaker="a", speaker_local="S01", level_dbfs=-26.0),),
        placements=(),
        room=room,
        noise=(plan,),
        peak_dbfs=-1.0,
        asked=Asked(),
    )
    (layer,) = noise_layers(
        session, noises=collection, point=lambda place: point_response(room, place, RATE)
    )
    return layer


def noise(
    plan: NoisePlan,
    num_samples: int,
    block: int = 5000,
    channels: int = 1,
    collection: NoiseCollection | None = None,
) -> np.ndarray:
    blocks = layer_of(plan, num_samples, channels, collection).blocks(block)
    return np.concatenate([part.copy() for part in blocks if part is not None], axis=1)


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    rng = np.random.default_rng(0)
    for n, name in enumerate(["rain/a", "rain/b", "hall"]):
        path = tmp_path / f"{name}.wav"
        path.parent.mkdir(exist_ok=True)
        samples = 0.1 + 0.05 * rng.standard_normal(12_000 + 4000 * n)
        soundfile.write(path, np.pad(samples, (500, 700)), RATE)
    return tmp_path


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_noise_does_not_depend_on_blocks_or_channels(kind: str) -> None:
    plan = NoisePlan.model_validate({"kind": kind, "snr_db": 10.0, "seed": 4})
    wanted = noise(plan, 70_000, block=70_000)
    assert wanted.dtype == np.float32 and wanted.shape == (1, 70_000)
    for block in (333, 24_768, 32_768):
        assert noise(plan, 70_000, block).tobytes() == wanted.tobytes()
    several = noise(plan, 70_000, channels=3)
    assert several[0].tobytes() == wanted[0].tobytes()
    assert abs(np.corrcoef(several)[0, 1]) < 0.05
    assert noise(plan.model_copy(update={"seed": 5}), 100).tobytes() != wanted[:, :100].tobytes()


@pytest.mark.parametrize("kind", KINDS)
def test_synthetic_noise_has_unit_power_and_no_seam_where_a_loop_ends(kind: str) -> None:
    plan = NoisePlan.model_validate({"kind": kind, "snr_db": 10.0, "seed": 1})
    samples = noise(plan, 100 * RATE)[0]  # longer than both loops
    assert np.mean(samples.astype(np.float64) ** 2) == pytest.approx(1.0, rel=0.05)
    assert abs(samples.mean()) < 0.01
    steps = np.abs(np.diff(samples))
    assert steps.max() < 8 * np.sqrt(np.mean(steps**2))  # of 1.6 million Gaussian steps


def test_noise_does_not_come_back_when_its_loops_do() -> None:
    samples = noise(NoisePlan(kind="pink", snr_db=0.0, seed=3), 150 * RATE)[0]
    for frames in LOOP_FRAMES:
        lag = frames * RATE // 100
        again = np.corrcoef(samples[:-lag], samples[lag:])[0, 1]
        assert again == pytest.approx(0.5, abs=0.05)  # one of two loops, never both
    spectrum = np.abs(np.fft.rfft(samples, 2**23)) ** 2
    likeness = np.fft.irfft(spectrum)[2 * RATE : 60 * RATE] / np.sum(samples**2)
    assert np.abs(likeness).max() < 0.1


def test_spectra_are_those_of_their_names() -> None:
    def slope(kind: str, low: float, high: float) -> float:
        plan = NoisePlan.model_validate({"kind": kind, "snr_db": 0.0, "seed": 2})
        frequency, density = welch(noise(plan, 640_000)[0], RATE, nperseg=4096)
        inside = (frequency > low) & (frequency < high)
        octaves = np.log2(frequency[inside])
        return float(np.polyfit(octaves, 10 * np.log10(density[inside]), 1)[0])

    assert slope("white", 100, 7000) == pytest.approx(0, abs=0.2)
    assert slope("pink", 100, 7000) == pytest.approx(-3.01, abs=0.2)
    assert slope("speech_shaped", 600, 7000) < -6


def test_speech_shaped_noise_has_the_published_third_octaves() -> None:
    frequency = np.fft.rfftfreq(65536, 1 / RATE)
    response = spectrum_amplitude("speech_shaped", frequency) ** 2
    got = []
    bands = [
        (f, level)
        for f, level in zip(SPEECH_BANDS_HZ, SPEECH_BANDS_DB, strict=True)
        if 150 < f < 7000
    ]
    for centre, _ in bands:
        inside = (frequency >= centre * 2 ** (-1 / 6)) & (frequency < centre * 2 ** (1 / 6))
        got.append(10 * np.log10(response[inside].sum()))
    wanted = np.array([level for _, level in bands])
    assert np.abs(np.array(got) - np.mean(got) - (wanted - wanted.mean())).max() < 1.5


def test_a_clip_is_a_loop_without_silence_offset_or_seam(clips: Path) -> None:
    collection = NoiseCollection.open(clips, RATE)
    assert list(collection.clips) == ["hall", "rain/a", "rain/b"]
    clip = collection.clips["rain/a"]
    assert clip.loop_samples == 12_000 - 800  # 50 ms are faded into the beginning
    plan = NoisePlan(kind="ambient", snr_db=5.0, clip="rain/a", clip_sha256=clip.sha256)
    samples = noise(plan, 40_000, collection=collection)[0]
    assert np.array_equal(samples[:11_200], samples[11_200:22_400])
    assert abs(samples.mean()) < 0.005
    power = np.convolve(samples[:24_000] ** 2, np.ones(200) / 200, "valid")
    assert power.min() > 0.4 * np.median(power)


def test_an_ambient_noise_begins_at_its_offset_in_any_block(clips: Path) -> None:
    collection = NoiseCollection.open(clips, RATE)
    (plan,) = draw_noise(NoiseConfig(kind="ambient"), np.random.default_rng(3), collection, RATE)
    assert plan.clip is not None
    loop = collection.loop(collection.clips[plan.clip])
    wanted = np.resize(np.roll(loop, -plan.offset_samples), 30_000)
    for block in (777, 50_000):
        got = noise(plan, 30_000, block, channels=2, collection=collection)
        assert np.array_equal(got[0], wanted) and np.array_equal(got[1], wanted)


def test_a_manifest_gives_licences_and_keeps_music_out(clips: Path) -> None:
    (clips / "broken.wav").write_bytes(b"nothing")
    soundfile.write(clips / "short.wav", np.ones(1000) * 0.5, RATE)
    soundfile.write(clips / "offset.wav", np.ones(16_000) * 0.5, RATE)
    (clips / "again.wav").write_bytes((clips / "hall.wav").read_bytes())
    rows = ["clip_id,file,label,kind,licence"]
    rows += ["h,hall.wav,hall,environment,CC0", "m,rain/a.wav,tune,music,CC-BY"]
    rows += [f"{name},{name}.wav,,," for name in ("broken", "short", "offset", "zgone")]
    rows += ["z-again,again.wav,,,"]
    (clips / "manifest.csv").write_text("\n".join(rows))
    collection = NoiseCollection.open(clips / "manifest.csv", RATE)
    assert [clip.clip_id for clip in collection.ambient] == ["h"]
    assert collection.clips["m"].licence == "CC-BY"
    reasons = dict(collection.rejected)
    assert set(reasons) == {"broken.wav", "short.wav", "offset.wav", "zgone.wav", "again.wav"}
    assert reasons["again.wav"] == "same content as h"
    assert "DC" in reasons["offset.wav"]


def test_the_hash_of_a_collection_follows_contents_not_places(clips: Path, tmp_path: Path) -> None:
    first = NoiseCollection.open(clips, RATE).sha256()
    moved = tmp_path.parent / f"{tmp_path.name}-moved"
    clips.rename(moved)
    assert NoiseCollection.open(moved, RATE).sha256() == first
    (moved / "hall.wav").unlink()
    assert NoiseCollection.open(moved, RATE).sha256() != first


def test_clips_are_decoded_once_for_all_processes(
    clips: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = tmp_path.parent / f"{tmp_path.name}-noises"
    plain = NoiseCollection.open(clips, RATE)
    first = NoiseCollection.open(clips, RATE, kept=kept)
    assert len(list(kept.iterdir())) == 3

    def decode(*_: object) -> None:
        raise AssertionError("decoded again")

    monkeypatch.setattr("talkover.simulate.noise_clips._loop", decode)
    again = NoiseCollection.open(clips, RATE, kept=kept)
    assert again.clips == first.clips == plain.clips and again.sha256() == plain.sha256()
    loops = [again.loop(clip) for clip in again.ambient]
    monkeypatch.undo()
    for loop, clip in zip(loops, plain.ambient, strict=True):
        assert isinstance(loop, np.memmap) and np.array_equal(loop, plain.loop(clip))
    torn = next(kept.iterdir())
    torn.write_bytes(torn.read_bytes()[:100])
    assert NoiseCollection.open(clips, RATE, kept=kept).clips == plain.clips


def test_what_cannot_be_a_noise_is_refused(tmp_path: Path, clips: Path) -> None:
    rng = np.random.default_rng(0)
    assert draw_noise(NoiseConfig(kind="none"), rng, None, RATE) == ()
    with pytest.raises(ConfigurationError, match="spectrum white, pink or speech_shaped"):
        load_config(None, ["noise.kind=diffuse", "noise.spectrum=clip"])
    with pytest.raises(ConfigurationError, match=r"noise\.path"):
        draw_noise(NoiseConfig(kind="ambient"), rng, None, RATE)
    with pytest.raises(ConfigurationError, match="no noise 'gone'"):
        noise(
            NoisePlan(kind="ambient", snr_db=0.0, clip="gone"),
            10,
            collection=NoiseCollection.open(clips, RATE),
        )
    with pytest.raises(ConfigurationError, match="neither a folder"):
        NoiseCollection.open(tmp_path / "absent", RATE)
    empty = tmp_path / "empty"
    empty.mkdir()
    with pytest.raises(ConfigurationError, match="no usable noise"):
        NoiseCollection.open(empty, RATE)
    (empty / "manifest.csv").write_text("name,file\n")
    with pytest.raises(ManifestError, match="no column 'clip_id'"):
        NoiseCollection.open(empty, RATE)


def test_drawn_noise_keeps_its_range() -> None:
    config = NoiseConfig(snr_db=(3.0, 4.0))
    drawn = [draw_noise(config, np.random.default_rng(n), None, RATE)[0] for n in range(20)]
    assert all(3.0 <= plan.snr_db <= 4.0 for plan in drawn)
    assert len({plan.seed for plan in drawn}) == 20


def test_a_diffuse_field_has_the_coherence_of_its_distances() -> None:
    plan = NoisePlan(kind="diffuse", snr_db=0.0, spectrum="pink", seed=2)
    samples = noise(plan, 60 * RATE, channels=3)
    places = np.array(ROOMS[3].microphone_positions_m)
    for a, b in ((0, 1), (0, 2), (1, 2)):
        distance = np.linalg.norm(places[a] - places[b])
        frequency, cross = csd(samples[a], samples[b], RATE, nperseg=1024)
        powers = [welch(samples[c], RATE, nperseg=1024)[1] for c in (a, b)]
        coherence = cross.real / np.sqrt(powers[0] * powers[1])
        wanted = np.sinc(2 * frequency * distance / SPEED_OF_SOUND)
        assert np.abs(coherence - wanted)[3:].max() < 0.15  # one estimate of 513
        assert np.sqrt(np.mean((coherence - wanted)[3:] ** 2)) < 0.05
    again = noise(plan, 60 * RATE, block=7777, channels=3)
    assert again.tobytes() == samples.tobytes()


def test_a_point_source_is_its_track_through_the_room() -> None:
    (plan,) = draw_noise(
        NoiseConfig(kind="point", spectrum="white"), np.random.default_rng(1), None, RATE, ROOMS[2]
    )
    assert plan.position_m is not None
    sides = np.array(ROOMS[2].dimensions_m)
    assert (np.array(plan.position_m) > 0).all() and (plan.position_m < sides).all()
    samples = noise(plan, 6 * RATE, channels=2)
    direct = [
        np.linalg.norm(np.subtract(plan.position_m, place)) / SPEED_OF_SOUND * RATE
        for place in ROOMS[2].microphone_positions_m or ()
    ]
    first, second = (np.fft.rfft(channel, 2**18) for channel in samples)
    whitened = second * np.conj(first)
    lag = int(np.argmax(np.fft.irfft(whitened / np.abs(whitened))))
    lag = lag - 2**18 if lag > 2**17 else lag
    assert lag == pytest.approx(direct[1] - direct[0], abs=1.0)
    assert noise(plan, 6 * RATE, block=3333, channels=2).tobytes() == samples.tobytes()


@pytest.mark.parametrize("kind", [*KINDS, "diffuse"])
def test_known_statistics_are_those_of_the_samples(kind: str) -> None:
    spectrum = "pink" if kind == "diffuse" else None
    plan = NoisePlan.model_validate({"kind": kind, "snr_db": 0.0, "seed": 8, "spectrum": spectrum})
    frames = np.array([[160, 8000], [40_000, 90_080]])
    layer = layer_of(plan, 100_000, channels=2)
    known = layer.statistics(layer.frames(frames))
    samples = noise(plan, 100_000, channels=2)
    inside = np.concatenate([samples[0, a:b] for a, b in frames]).astype(np.float64)
    assert known is not None
    assert known.power == pytest.approx(np.mean(inside**2), rel=1e-5)
    assert known.peak >= np.abs(samples).max()
