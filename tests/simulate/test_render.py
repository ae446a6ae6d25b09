from __future__ import annotations

import subprocess
import sys
import tracemalloc
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
import soundfile
from scipy.signal import fftconvolve

from talkover.manifests.errors import RunError
from talkover.manifests.markers import file_sha256
from talkover.manifests.schema import Asked
from talkover.simulate import render as module
from talkover.simulate.config import NoiseConfig, RoomConfig
from talkover.simulate.levels import active_level_dbfs
from talkover.simulate.materials import Materials
from talkover.simulate.noise import NoiseCollection, draw_noise
from talkover.simulate.plan import Placement, PlannedEffect, PlannedSpeaker, SessionPlan
from talkover.simulate.render import RenderReport, render, render_to_files
from talkover.simulate.responses import responses
from talkover.simulate.rooms import draw_room
from talkover.simulate.targets import Target, response_part
from talkover.simulate.tracks import SpeakerTrack

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
PAIR = RoomConfig(t60=(0.2, 0.25), microphones="pair")
ONE_STEP = 1 / 32768


class Sources:
    """Two seconds of seeded noise bursts an utterance, in int16."""

    def samples(self, utterance: int, /) -> np.ndarray:
        return bursts(utterance % 8)


@lru_cache
def bursts(seed: int) -> np.ndarray:
    samples = np.random.default_rng(seed).standard_normal(2 * RATE)
    samples *= 3000 * (1 + np.sin(np.arange(2 * RATE) / 900))
    return np.clip(samples, -32768, 32767).astype(np.int16)


def make_plan(
    seconds: float = 6.0,
    speakers: int = 2,
    *,
    room: RoomConfig | None = None,
    noise: NoiseConfig | None = None,
    noises: NoiseCollection | None = None,
    gain_db: float = 0.0,
    seed: int = 0,
) -> SessionPlan:
    rng = np.random.default_rng(seed)
    names = [f"S{k + 1:02d}" for k in range(speakers)]
    num_samples = round(seconds * RATE)
    placements = []
    for n, start in enumerate(range(1600, num_samples - 2 * RATE, round(1.5 * RATE))):
        placements.append(
            Placement(
                utterance=n,
                utterance_id=f"u{n}",
                speaker_local=names[n % speakers],
                turn=n,
                role="turn",
                start_sample=start,
                source_start=0,
                num_samples=2 * RATE,
                whole=True,
                gain_db=gain_db,
            )
        )
    return SessionPlan(
        session_id="s000000-test",
        session_index=0,
        root_seed=seed,
        configuration_hash="0" * 64,
        corpus_hash="0" * 64,
        sampling_rate=RATE,
        num_samples=num_samples,
        speakers=tuple(PlannedSpeaker(speaker=n, speaker_local=n, level_dbfs=-26.0) for n in names),
        placements=tuple(placements),
        room=(
            place := draw_room(room or RoomConfig(t60=(0.2, 0.25)), names, rng, sampling_rate=RATE)
        ),
        noise=draw_noise(noise or NoiseConfig(), rng, noises, RATE, place),
        peak_dbfs=-1.0,
        asked=Asked(),
    )


def activity(plan: SessionPlan) -> np.ndarray:
    return np.array([[p.start_sample, p.start_sample + p.num_samples] for p in plan.placements])


def to_files(
    plan: SessionPlan, root: Path, *, stems: bool = True, format: str = "flac", **options: object
) -> RenderReport:
    return render_to_files(
        plan,
        Sources(),
        active=activity(plan),
        root=root,
        audio_path=f"audio/a.{format}",
        stem_folder="stems/a" if stems else None,
        format=format,  # type: ignore[arg-type]
        **options,  # type: ignore[arg-type]
    )


@pytest.mark.medium
@pytest.mark.parametrize(
    ("format", "subtype"), [("flac", "PCM_24"), ("wav", "PCM_24"), ("wav", "FLOAT")]
)
def test_nine_stems_sum_to_the_mixture(tmp_path: Path, format: str, subtype: str) -> None:
    plan = make_plan(16.0, speakers=8, room=RoomConfig(t60=(0.2, 0.25), microphones="pair"))
    report = to_files(plan, tmp_path, format=format, stem_subtype=subtype)
    assert len(report.mix.stems) == 9
    mixture, rate = soundfile.read(tmp_path / f"audio/a.{format}", dtype="int16")
    assert mixture.shape == (plan.num_samples, 2) and rate == RATE
    total = np.zeros(mixture.shape)
    for stem in report.mix.stems:
        samples, _ = soundfile.read(tmp_path / stem.path, dtype="float64")
        assert soundfile.info(tmp_path / stem.path).subtype == subtype
        assert np.abs(samples).max() > 0
        total += samples
    residual = np.abs(mixture / 32768 - total).max()
    assert residual <= ONE_STEP
    assert report.mix.residual_peak == pytest.approx(residual, abs=1e-8)
    assert report.mix.clipped_samples == 0


@pytest.mark.parametrize("kind", ["white", "pink", "speech_shaped", "diffuse", "point"])
def test_snr_measured_on_the_stems_is_the_asked_one(tmp_path: Path, kind: str) -> None:
    plan = make_plan(9.0, noise=NoiseConfig.model_validate({"kind": kind, "snr_db": (12, 12)}))
    report = to_files(plan, tmp_path, format="wav")
    active = activity(plan)
    signals = {
        stem.speaker_local or "noise": soundfile.read(tmp_path / stem.path, dtype="float32")[0]
        for stem in report.mix.stems
    }
    noise = active_level_dbfs(signals.pop("noise"), active, RATE)
    speech = active_level_dbfs(sum(signals.values()), active, RATE)
    assert speech - noise == pytest.approx(12.0, abs=0.1)
    assert report.noise[0].snr_db_measured == pytest.approx(12.0, abs=0.01)


def test_the_mixture_is_the_same_without_stems_in_memory_and_from_scratch(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan = make_plan(8.0)
    first = to_files(plan, tmp_path / "a")
    second = to_files(plan, tmp_path / "b", stems=False)
    monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
    scratch = tmp_path / "scratch"
    third = to_files(plan, tmp_path / "c", scratch=scratch)
    assert first.audio == second.audio == third.audio
    assert first.mix.stems == third.mix.stems != ()
    assert list(scratch.iterdir()) == []
    memory = render(plan, Sources(), active=activity(plan), targets=["reverberant"])
    written, _ = soundfile.read(tmp_path / "a/audio/a.flac", dtype="float32")
    assert np.array_equal(memory.mixture[0], written)
    assert memory.noise is not None and set(memory.stems) == {"S01", "S02"}
    total = memory.noise + sum(memory.stems.values())
    assert np.abs(memory.mixture - total).max() <= ONE_STEP
    assert render(plan, Sources(), active=activity(plan)).stems == {}


def test_hot_sources_are_scaled_down_and_do_not_clip(tmp_path: Path) -> None:
    plan = make_plan(6.0, gain_db=30.0)
    report = to_files(plan, tmp_path)
    mixture, _ = soundfile.read(tmp_path / "audio/a.flac", dtype="float64")
    assert report.mix.gain_db < -6
    assert 20 * np.log10(np.abs(mixture).max()) == pytest.approx(-1.0, abs=0.001)
    assert report.mix.peak_dbfs == pytest.approx(-1.0, abs=0.001)
    assert report.mix.clipped_samples == 0
    assert report.mix.residual_peak is not None and report.mix.residual_peak <= ONE_STEP


def test_quiet_sources_are_left_alone(tmp_path: Path) -> None:
    assert to_files(make_plan(4.0, gain_db=-30.0), tmp_path).mix.gain_db == 0.0


def test_stems_that_cancel_each_other_are_kept_in_float(tmp_path: Path) -> None:
    class Opposed:
        def samples(self, utterance: int, /) -> np.ndarray:
            return np.full(2 * RATE, 32767 if utterance == 0 else -32767, dtype=np.int16)

    plan = make_plan(2.5, room=RoomConfig(kind="dry"), noise=NoiseConfig(kind="none"))
    one = plan.placements[0].model_copy(update={"gain_db": 12.0})
    rows = (one, one.model_copy(update={"utterance": 1, "speaker_local": "S02", "gain_db": 11.9}))
    plan = plan.model_copy(update={"placements": rows})
    report = render_to_files(
        plan,
        Opposed(),
        active=activity(plan),
        root=tmp_path,
        audio_path="a.flac",
        stem_folder="stems",
    )
    assert {stem.subtype for stem in report.mix.stems} == {"FLOAT"}
    assert all(stem.path.endswith(".wav") for stem in report.mix.stems)
    assert report.mix.residual_peak is not None and report.mix.residual_peak <= ONE_STEP


def test_a_dry_room_without_noise_is_the_sum_of_the_slices() -> None:
    plan = make_plan(5.0, room=RoomConfig(kind="dry"), noise=NoiseConfig(kind="none"))
    result = render(plan, Sources(), active=activity(plan), targets=["reverberant"])
    wanted = np.zeros(plan.num_samples)
    for p in plan.placements:
        wanted[p.start_sample :][: p.num_samples] += Sources().samples(p.utterance) / 32768
    inside = slice(plan.placements[0].start_sample + 100, plan.placements[0].start_sample + 20_000)
    assert np.abs(result.mixture[0, inside] - wanted[inside]).max() < 2 * ONE_STEP
    assert result.noise is None and result.report.noise == ()
    assert result.report.scene.room.id == "dry"


def test_speech_arrives_after_the_direct_delay() -> None:
    plan = make_plan(4.0, noise=NoiseConfig(kind="none"))
    result = render(
        plan, Sources(), active=activity(plan), targets=["reverberant"], response_kind="direct"
    )
    first, seat = plan.placements[0], plan.room.seats[0]
    loud = np.flatnonzero(np.abs(result.stems["S01"][0]) > 1e-3)[0]
    arrival = first.start_sample + seat.direct_delay_samples
    assert arrival - 2 <= loud <= arrival + 0.005 * RATE


def test_the_report_describes_the_scene() -> None:
    plan = make_plan(4.0, room=RoomConfig(t60=(0.2, 0.25), microphones="circular8"))
    scene = render(plan, Sources(), active=activity(plan)).report.scene
    assert scene.microphones.name == "circular8" and scene.microphones.devices == (0,) * 8
    assert scene.room.t60_asked == plan.room.t60
    assert scene.room.t60_measured == pytest.approx(plan.room.t60, rel=0.1)
    for seat, planned in zip(scene.seats, plan.room.seats, strict=True):
        assert seat.direct_delay_samples == planned.direct_delay_samples
        assert seat.distance_m is not None and 0.5 <= seat.distance_m <= 2.5001
        assert seat.azimuth_deg is not None and -180 <= seat.azimuth_deg <= 180
        assert seat.rir_sha256 is not None and seat.drr_db is not None


def test_labels_without_speech_or_without_sound_are_refused() -> None:
    plan = make_plan(4.0)
    with pytest.raises(RunError, match="s000000-test: its labels have no active speech"):
        render(plan, Sources(), active=np.zeros((0, 2), dtype=np.int64))
    with pytest.raises(RunError, match="silent wherever its labels have speech"):
        render(plan, Sources(), active=np.array([[0, 800]]))


@pytest.mark.medium
def test_another_process_makes_the_same_bytes(tmp_path: Path) -> None:
    plan = make_plan(5.0, room=RoomConfig(t60=(0.2, 0.25), microphones="pair"), seed=3)
    report = to_files(plan, tmp_path)
    assert report.audio is not None
    code = (
        "import importlib.util, sys; from pathlib import Path\n"
        "spec = importlib.util.spec_from_file_location('again', sys.argv[1])\n"
        "again = importlib.util.module_from_spec(spec); spec.loader.exec_module(again)\n"
        "room = again.RoomConfig(t60=(0.2, 0.25), microphones='pair')\n"
        "plan = again.make_plan(5.0, room=room, seed=3)\n"
        "report = again.to_files(plan, Path(sys.argv[2]))\n"
        "print(report.audio.sha256, *[stem.sha256 for stem in report.mix.stems])\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, __file__, str(tmp_path / "b")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == [report.audio.sha256, *(s.sha256 for s in report.mix.stems)]


@pytest.mark.medium
def test_memory_does_not_grow_with_the_session(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "MEMORY_LIMIT", 0)
    peaks = []
    for seconds in (30.0, 300.0):
        plan = make_plan(seconds, room=RoomConfig(t60=(0.2, 0.2), microphones="single"))
        tracemalloc.start()
        to_files(plan, tmp_path / str(seconds), stems=False, scratch=tmp_path / "scratch")
        peaks.append(tracemalloc.get_traced_memory()[1])
        tracemalloc.stop()
    assert peaks[1] < 1.3 * peaks[0]  # a float32 signal of 300 s alone would be 19 MB


def test_several_noises_have_a_ratio_each_and_one_stem(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    soundfile.write(tmp_path / "hum.wav", 0.1 * rng.standard_normal(3 * RATE), RATE)
    clips = NoiseCollection.open(tmp_path, RATE)
    asked = NoiseConfig.model_validate(
        {
            "kind": "diffuse",
            "snr_db": (20, 20),
            "also": [
                {"kind": "point", "snr_db": (15, 15), "spectrum": "clip"},
                {"kind": "ambient", "snr_db": (30, 30)},
            ],
        }
    )
    plan = make_plan(8.0, room=PAIR, noise=asked, noises=clips)
    result = render(
        plan,
        Sources(),
        active=activity(plan),
        materials=Materials(noises=clips),
        targets=["reverberant"],
    )
    rows = result.report.noise
    assert [(row.kind, row.snr_db_asked) for row in rows] == [
        ("diffuse", 20.0), ("point", 15.0), ("ambient", 30.0)
    ]  # fmt: skip
    assert all(abs(row.snr_db_measured - row.snr_db_asked) < 0.01 for row in rows)
    assert rows[1].position_m == plan.noise[1].position_m is not None
    assert result.noise is not None
    # Independent noises add up in power: 20, 15 and 30 dB together are 13.7 dB.
    together = -10 * np.log10(sum(10 ** (-row.snr_db_asked / 10) for row in rows))
    active = activity(plan)
    speech = active_level_dbfs(sum(result.stems.values())[0], active, RATE)  # type: ignore[index]
    noise = active_level_dbfs(result.noise[0], active, RATE)
    assert speech - noise == pytest.approx(together, abs=0.3)
    total = result.noise + sum(result.stems.values())
    assert np.abs(result.mixture - total).max() <= ONE_STEP


def test_targets_are_parts_of_the_stems_and_leave_the_mixture_alone(tmp_path: Path) -> None:
    plan = make_plan(6.0, room=PAIR)
    every: list[Target] = ["reverberant", "early", "direct", "dry"]
    result = render(plan, Sources(), active=activity(plan), targets=every)
    assert np.array_equal(result.mixture, render(plan, Sources(), active=activity(plan)).mixture)
    room = responses(plan.room, RATE)
    late = response_part(plan.room, room, "late", RATE)
    early = response_part(plan.room, room, "early", RATE)
    direct = response_part(plan.room, room, "direct", RATE)
    assert np.array_equal(early + late, room.h)
    assert np.array_equal(early[direct != 0], direct[direct != 0])
    for name in ("S01", "S02"):
        whole, first, path, dry = (result.targets[target][name] for target in every)
        assert whole.shape == first.shape == path.shape == (2, plan.num_samples)
        assert dry.shape == (1, plan.num_samples)
        powers = [float(np.mean(signal**2)) for signal in (path, first, whole)]
        assert powers[0] < powers[1] < powers[2]
        rest = convolved(plan, late, name) * 10 ** (result.report.mix.gain_db / 20)
        assert np.abs(first + rest - whole).max() < 1e-4


def convolved(plan: SessionPlan, h: np.ndarray, name: str) -> np.ndarray:
    """A speaker through some responses, by the definition."""
    own = [p for p in plan.placements if p.speaker_local == name]
    dry = SpeakerTrack(own, Sources(), RATE).block(0, plan.num_samples)
    assert dry is not None
    k = [seat.speaker_local for seat in plan.room.seats].index(name)
    return np.stack([fftconvolve(dry, channel)[: plan.num_samples] for channel in h[k]])


def test_the_dry_target_is_in_time_with_the_direct_path() -> None:
    plan = make_plan(6.0, noise=NoiseConfig(kind="none"), room=RoomConfig(directivity="omni"))
    result = render(plan, Sources(), active=activity(plan), targets=["dry", "direct"])
    for name in ("S01", "S02"):
        dry, direct = (result.targets[target][name][0] for target in ("dry", "direct"))
        spectrum = np.fft.rfft(direct, 2**18) * np.conj(np.fft.rfft(dry, 2**18))
        lag = int(np.argmax(np.fft.irfft(spectrum)))
        assert min(lag, 2**18 - lag) <= 1


def test_targets_are_written_beside_the_stems_and_validate_knows_them(tmp_path: Path) -> None:
    plan = make_plan(5.0, room=PAIR)
    report = to_files(plan, tmp_path, targets=["early", "dry"], early_seconds=0.03)
    rows = [(stem.kind, stem.target, stem.speaker_local) for stem in report.mix.stems]
    assert rows == [
        ("speaker", "early", "S01"), ("speaker", "early", "S02"),
        ("speaker", "dry", "S01"), ("speaker", "dry", "S02"), ("noise", "reverberant", None),
    ]  # fmt: skip
    assert report.mix.residual_peak is None  # nothing that must add up
    assert [stem.early_seconds for stem in report.mix.stems] == [0.03, 0.03, None, None, None]
    shapes = {
        soundfile.info(tmp_path / s.path).channels for s in report.mix.stems if s.target == "dry"
    }
    assert shapes == {1}


def test_the_channel_comes_after_the_law(tmp_path: Path) -> None:
    plan = make_plan(5.0).model_copy(
        update={"channel": (PlannedEffect(name="clip", parameters={"below_peak_db": 6.0}),)}
    )
    clean = to_files(make_plan(5.0), tmp_path / "clean")
    report = to_files(plan, tmp_path)
    assert report.mix.pre_channel == "stems/a/pre_channel.flac"
    before, _ = soundfile.read(tmp_path / report.mix.pre_channel, dtype="int16")
    after, _ = soundfile.read(tmp_path / "audio/a.flac", dtype="int16")
    wanted, _ = soundfile.read(tmp_path / "clean/audio/a.flac", dtype="int16")
    assert np.array_equal(before, wanted) and not np.array_equal(after, before)
    assert report.mix.residual_peak == clean.mix.residual_peak
    assert [effect.name for effect in report.channel] == ["clip"]
    memory = render(plan, Sources(), active=activity(plan))
    assert memory.pre_channel is not None
    assert np.array_equal(memory.pre_channel[0], before / np.float32(32768))
    assert np.array_equal(memory.mixture[0], after / np.float32(32768))


def test_wav_and_flac_hold_the_same_samples(tmp_path: Path) -> None:
    plan = make_plan(4.0, room=PAIR)
    wav = to_files(plan, tmp_path, format="wav", stems=False).audio
    flac = to_files(plan, tmp_path, stems=False).audio
    assert wav is not None and flac is not None
    assert wav.pcm_sha256 == flac.pcm_sha256 and wav.num_samples == flac.num_samples
    assert wav.sha256 == file_sha256(tmp_path / wav.path)
