from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import welch

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.simulate.config import NoiseConfig
from talkover.simulate.noise import (
    SPEECH_BANDS_DB,
    SPEECH_BANDS_HZ,
    NoiseCollection,
    draw_noise,
    noise_blocks,
    noise_filter,
)
from talkover.simulate.plan import NoisePlan

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
KINDS = ["white", "pink", "speech_shaped"]


def noise(
    plan: NoisePlan,
    num_samples: int,
    block: int = 5000,
    channels: int = 1,
    collection: NoiseCollection | None = None,
) -> np.ndarray:
    blocks = noise_blocks(
        plan,
        num_channels=channels,
        num_samples=num_samples,
        block_samples=block,
        sampling_rate=RATE,
        collection=collection,
    )
    return np.concatenate(list(blocks), axis=1)


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
def test_synthetic_noise_has_unit_power_and_no_step_between_its_blocks(kind: str) -> None:
    plan = NoisePlan.model_validate({"kind": kind, "snr_db": 10.0, "seed": 1})
    samples = noise(plan, 320_000)[0]
    assert np.mean(samples.astype(np.float64) ** 2) == pytest.approx(1.0, rel=0.1)
    steps = np.abs(np.diff(samples))
    assert np.argmax(steps) % 30_720 != 30_719 or steps.max() < 5 * steps.std()


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
    response = np.abs(np.fft.rfft(noise_filter("speech_shaped", RATE), 65536)) ** 2
    frequency = np.fft.rfftfreq(65536, 1 / RATE)
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
    plan = draw_noise(NoiseConfig(kind="ambient"), np.random.default_rng(3), collection, RATE)
    assert plan is not None and plan.clip is not None
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


def test_what_cannot_be_a_noise_is_refused(tmp_path: Path, clips: Path) -> None:
    rng = np.random.default_rng(0)
    assert draw_noise(NoiseConfig(kind="none"), rng, None, RATE) is None
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
    drawn = [draw_noise(config, np.random.default_rng(n), None, RATE) for n in range(20)]
    assert all(plan is not None and 3.0 <= plan.snr_db <= 4.0 for plan in drawn)
    assert len({plan.seed for plan in drawn if plan is not None}) == 20
