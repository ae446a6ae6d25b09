"""Laws that every effect of the channel keeps, and what each one does to a signal."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import pytest
import scipy.signal
import soundfile
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError, RunError
from talkover.simulate.channel import effects as module
from talkover.simulate.channel.effects import EFFECTS, effect_class, make_effect
from talkover.simulate.channel.packets import PacketLoss
from talkover.simulate.channel.stage import ChannelStage
from talkover.simulate.plan import PlannedEffect

RATE = 16000
CASES: list[tuple[str, dict[str, object]]] = [
    ("microphone", {"ripple_db": 2.0, "tilt_db_per_octave": 1.5}),
    ("telephone", {}),
    ("g711", {"law": "a"}),
    ("g711", {"law": "mu"}),
    ("opus", {"bit_rate": 24000}),
    ("packet_loss", {"loss": 0.1, "burst": 3.0}),
    ("packet_loss", {"loss": 0.1, "concealment": "zero"}),
    ("clip", {"below_peak_db": 9.0}),
    ("clip", {"below_peak_db": 9.0, "shape": "soft"}),
    ("clock", {"ppm": 80.0}),
]


@lru_cache
def signal(rate: int = RATE, seconds: float = 3.0, channels: int = 2) -> np.ndarray:
    """Noise in the band of speech with a slow envelope, ``[C, T]`` int16."""
    rng = np.random.default_rng(channels)
    count = round(seconds * rate) + 123
    band = scipy.signal.butter(4, [400, 3000], "band", fs=rate, output="sos")
    noise = scipy.signal.sosfilt(band, rng.standard_normal((channels, count)))
    noise *= 3000 / noise.std() * (1.2 + np.sin(np.arange(count) / rate * 9))
    return noise.astype(np.int16)


def through(
    name: str,
    parameters: dict[str, object],
    samples: np.ndarray,
    *,
    rate: int = RATE,
    size: int = 10_000,
    devices: tuple[int, ...] | None = None,
    seed: int = 5,
) -> tuple[np.ndarray, ChannelStage]:
    devices = devices or (0,) * len(samples)
    planned = [
        PlannedEffect(name=name, device=device, parameters=parameters, seed=seed)
        for device in sorted(set(devices))
    ]
    stage = ChannelStage(planned, devices, rate, samples.shape[1])
    blocks = (samples[:, i : i + size] for i in range(0, samples.shape[1], size))
    return np.concatenate(list(stage.apply(blocks)), axis=1), stage


def lag(got: np.ndarray, reference: np.ndarray) -> int:
    """Samples by which a signal comes after another, by cross-correlation."""
    cross = scipy.signal.correlate(got.astype(float), reference.astype(float), method="fft")
    return int(np.argmax(cross)) - (len(reference) - 1)


def test_every_effect_of_the_table_is_tried_here() -> None:
    assert {name for name, _ in CASES} == set(EFFECTS)


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_the_length_is_kept_and_the_size_of_blocks_does_not_matter(name, parameters) -> None:
    samples = signal()
    whole, _ = through(name, parameters, samples, size=samples.shape[1])
    assert whole.shape == samples.shape
    assert whole.dtype == np.int16
    for size in (777, 4096):
        assert np.array_equal(through(name, parameters, samples, size=size)[0], whole)


@pytest.mark.parametrize(("name", "parameters"), [case for case in CASES if case[0] != "clock"])
@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_labels_stay_right_to_a_sample(name, parameters, rate) -> None:
    samples = signal(rate, 2.0, 1)
    got, _ = through(name, parameters, samples, rate=rate)
    assert lag(got[0], samples[0]) == 0


@pytest.mark.parametrize(("name", "parameters"), CASES)
def test_an_effect_changes_the_signal(name, parameters) -> None:
    samples = signal()
    assert not np.array_equal(through(name, parameters, samples)[0], samples)


@given(st.integers(1, 40_000), st.integers(1, 9000), st.sampled_from(CASES))
@settings(max_examples=25)
def test_any_length_comes_out_as_it_went_in(count: int, size: int, case) -> None:
    samples = np.ascontiguousarray(signal()[:, :count])
    got, stage = through(*case, samples, size=size)
    assert got.shape == samples.shape
    assert stage.peak_dbfs <= 6.0


def test_channels_of_a_device_are_treated_alike() -> None:
    twice = np.repeat(signal(channels=1), 2, axis=0)
    for name, parameters in CASES:
        got, _ = through(name, parameters, twice)
        assert np.array_equal(got[0], got[1]), name


def test_devices_are_treated_apart() -> None:
    twice = np.repeat(signal(channels=1), 2, axis=0)
    planned = [PlannedEffect(name="telephone", device=1)]
    stage = ChannelStage(planned, (0, 1), RATE, twice.shape[1])
    got = np.concatenate(list(stage.apply([twice])), axis=1)
    assert np.array_equal(got[0], twice[0])
    assert not np.array_equal(got[1], twice[1])
    assert [(e.name, e.device) for e in stage.effects] == [("telephone", 1)]


def test_effects_come_one_after_the_other() -> None:
    samples = signal()
    chain = [PlannedEffect(name="telephone"), PlannedEffect(name="clip")]
    both = ChannelStage(chain, (0, 0), RATE, samples.shape[1])
    got = np.concatenate(list(both.apply([samples])), axis=1)
    assert np.abs(got).max() < 0.33 * np.abs(samples).max()
    assert [effect.name for effect in both.effects] == ["telephone", "clip"]
    assert both.effects[1].measured["clipped_samples"] > 0


def test_a_scratch_folder_changes_nothing_and_stays_empty(tmp_path) -> None:
    samples = signal()
    memory, _ = through("clip", {}, samples)
    stage = ChannelStage(
        [PlannedEffect(name="clip")], (0, 0), RATE, samples.shape[1], scratch=tmp_path
    )
    assert np.array_equal(np.concatenate(list(stage.apply([samples])), axis=1), memory)
    assert list(tmp_path.iterdir()) == []


def test_figures_are_not_given_before_the_end() -> None:
    stage = ChannelStage([], (0,), RATE, 10)
    with pytest.raises(RunError, match="after its last block"):
        _ = stage.effects


def test_no_effects_give_the_same_samples() -> None:
    samples = signal()
    stage = ChannelStage([], (0, 0), RATE, samples.shape[1])
    assert np.array_equal(np.concatenate(list(stage.apply([samples])), axis=1), samples)


def test_unknown_effects_and_parameters_are_refused_with_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match=r"no effect 'fax'.*opus"):
        effect_class("fax")
    with pytest.raises(ConfigurationError, match=r"no parameter 'rate'.*bit_rate"):
        make_effect("opus", {"rate": 1})
    for name, wrong in {
        "opus": {"bit_rate": 10},
        "g711": {"law": "b"},
        "clip": {"below_peak_db": -1.0},
        "clock": {"ppm": 1e6},
        "telephone": {"high_hz": 9000.0},
        "microphone": {"low_hz": True},
        "packet_loss": {"concealment": "music"},
    }.items():
        with pytest.raises(ConfigurationError, match=f"{name}.*{next(iter(wrong))}"):
            make_effect(name, wrong)


def test_another_package_can_offer_an_effect(monkeypatch: pytest.MonkeyPatch) -> None:
    class Offered:
        name = "mute"

        def load(self) -> type:
            return Mute

    monkeypatch.setattr(module, "entry_points", lambda group: [Offered()])
    assert effect_class("mute") is Mute


class Mute:
    name = "mute"

    def apply(self, blocks: Iterator[np.ndarray], setting: object) -> Iterator[np.ndarray]:
        return (0 * block for block in blocks)


def spectrum_db(got: np.ndarray, samples: np.ndarray, rate: int) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies and gain in dB, by Welch's method."""
    hz, cross = scipy.signal.csd(samples, got, fs=rate, nperseg=4096)
    _, power = scipy.signal.welch(samples, fs=rate, nperseg=4096)
    return hz, 20 * np.log10(np.abs(cross) / power)


def white(rate: int = RATE, seconds: float = 8.0) -> np.ndarray:
    noise = np.random.default_rng(3).standard_normal((1, round(seconds * rate)))
    return (3000 * noise).astype(np.int16)


@pytest.mark.parametrize("rate", [16000, 48000])
def test_the_telephone_band_is_as_g712_wants(rate: int) -> None:
    samples = white(rate)
    got, _ = through("telephone", {}, samples, rate=rate)
    hz, gain = spectrum_db(got[0].astype(float), samples[0].astype(float), rate)
    inside = gain[(hz > 320) & (hz < 3380)]
    assert np.abs(inside).max() < 0.5
    assert gain[hz < 60].max() < -24
    assert gain[hz > 4600].max() < -24


def test_a_drawn_microphone_has_its_slopes_its_tilt_and_no_gain_at_1_khz() -> None:
    samples = white()
    asked = {"low_hz": 150.0, "high_hz": 5000.0, "tilt_db_per_octave": 2.0}
    got, _ = through("microphone", asked, samples)
    hz, gain = spectrum_db(got[0].astype(float), samples[0].astype(float), RATE)

    def at(frequency: float) -> float:
        return float(np.mean(gain[np.abs(hz - frequency) < 40]))

    assert at(1000) == pytest.approx(0, abs=0.3)
    assert at(2000) == pytest.approx(2.0, abs=0.4)
    assert at(5000) == pytest.approx(2 * np.log2(5) - 3.0, abs=0.5)
    assert at(7500) < at(5000) - 3


def test_ripple_differs_between_seeds_and_not_between_runs() -> None:
    samples = signal()
    one, again, other = (
        through("microphone", {"ripple_db": 3.0}, samples, seed=seed)[0] for seed in (1, 1, 2)
    )
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)


@pytest.mark.parametrize("bit_rate", [12000, 24000, 64000])
def test_opus_spends_about_the_bits_that_it_may(bit_rate: int) -> None:
    got, stage = through("opus", {"bit_rate": bit_rate}, signal())
    assert stage.effects[0].measured["bit_rate"] == pytest.approx(bit_rate, rel=0.3)
    assert np.corrcoef(got[0], signal()[0])[0, 1] > 0.7


def test_opus_gives_the_same_samples_every_time() -> None:
    assert np.array_equal(through("opus", {}, signal())[0], through("opus", {}, signal())[0])


@given(st.floats(0.01, 0.4), st.floats(1.0, 8.0), st.integers(0, 2**32 - 1))
@settings(max_examples=20)
def test_packets_are_lost_as_often_and_in_bursts_as_long_as_asked(loss, burst, seed) -> None:
    effect = PacketLoss(loss=loss, burst=burst) if loss / (1 - loss) <= burst else None
    if effect is None:
        return
    count = 60_000
    lost = effect.draw(count, np.random.default_rng(seed))
    spread = np.sqrt(loss * (1 - loss) * 2 * burst / count)  # bursts: fewer independent trials
    assert abs(lost.mean() - loss) < 6 * spread
    edges = np.flatnonzero(np.diff(np.concatenate([[False], lost, [False]]).astype(int)))
    lengths = edges[1::2] - edges[::2]
    assert lengths.mean() == pytest.approx(burst, rel=6 / np.sqrt(len(lengths)))


def test_lost_packets_are_silent_or_fade_and_the_rest_is_untouched() -> None:
    samples = signal(channels=1)
    size, fade = 320, 32
    for concealment in ("zero", "repeat"):
        parameters = {"loss": 0.2, "burst": 2.0, "concealment": concealment}
        got, stage = through("packet_loss", parameters, samples)
        count = -(-samples.shape[1] // size)
        rng = np.random.Generator(np.random.PCG64(np.random.SeedSequence(5)))
        lost = PacketLoss(loss=0.2, burst=2.0).draw(count, rng)
        assert stage.effects[0].measured == {"packets": count, "lost_packets": int(lost.sum())}
        assert 10 < lost.sum() < count / 2
        for n in range(1, count - 1):
            here = slice(n * size + fade, (n + 1) * size)
            if not lost[n]:
                assert np.array_equal(got[0, here], samples[0, here])
            elif concealment == "zero":
                assert not got[0, here].any()
            else:
                before = got[0, here.start - size : here.stop - size].astype(float)
                assert np.abs(got[0, here] - before * 10 ** (-6 / 20)).max() <= 1


def test_clipping_is_where_it_is_said_to_be_and_counted() -> None:
    samples = signal()
    peak = np.abs(samples.astype(int)).max()
    hard, stage = through("clip", {"below_peak_db": 6.0}, samples)
    limit = peak * 10 ** (-6 / 20)
    assert np.abs(hard.astype(int)).max() == round(limit)
    over = np.abs(samples.astype(int)) > limit
    assert stage.effects[0].measured["clipped_samples"] == over.sum()
    assert np.array_equal(hard[~over], samples[~over])
    soft, _ = through("clip", {"below_peak_db": 6.0, "shape": "soft"}, samples)
    assert np.abs(soft.astype(int)).max() <= round(limit)
    assert np.all(np.abs(soft.astype(int)) <= np.abs(hard.astype(int)) + 1)


@pytest.mark.parametrize("ppm", [-300.0, 40.0, 500.0])
def test_a_clock_runs_away_by_its_offset_and_begins_in_step(ppm: float) -> None:
    t = np.arange(10 * RATE) / RATE
    tone = (9000 * np.sin(2 * np.pi * 440 * t))[None, :].astype(np.int16)
    got, _ = through("clock", {"ppm": ppm}, tone)
    right = 9000 * np.sin(2 * np.pi * 440 * t / (1 + ppm * 1e-6))
    middle = slice(100, -200)
    assert np.abs(got[0, middle] - right[middle]).max() < 3  # rounded twice
    noise = signal(RATE, 10.0, 1)
    moved, _ = through("clock", {"ppm": ppm}, noise)
    assert lag(moved[0, :1000], noise[0, :1000]) == 0
    here = slice(9 * RATE, 9 * RATE + 4000)
    assert lag(moved[0, here], noise[0, here]) == pytest.approx(ppm * 1e-6 * 9.1 * RATE, abs=2)


def test_a_codec_of_the_telephone_leaves_nothing_above_4_khz() -> None:
    samples = white()
    got, _ = through("g711", {}, samples)
    hz, power = scipy.signal.welch(got[0].astype(float), fs=RATE, nperseg=2048)
    assert power[hz > 4100].max() < 1e-4 * power[(hz > 500) & (hz < 3000)].mean()


def test_libsndfile_has_the_codec_that_we_need() -> None:
    assert "OPUS" in soundfile.available_subtypes("OGG")
