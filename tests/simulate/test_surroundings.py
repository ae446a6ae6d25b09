"""Sounds, channel, loudness and registration in whole runs: folders, contract, report, resume."""

from __future__ import annotations

import hashlib
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import Session
from talkover.manifests.validate import validate
from talkover.simulate.channel.draw import check_channel
from talkover.simulate.channel.stage import ChannelStage
from talkover.simulate.config import load_config
from talkover.simulate.plan import PlannedEffect
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run
from talkover.simulate.session import OutputFormat, generate
from talkover.simulate.summary import Summary, summarise

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
SETTINGS = [
    "session.length=[8,10]",
    "session.speakers=[2,2]",
    "room.t60=[0.2,0.25]",
    "room.microphones=pair+single",
    "levels.speech_lufs=[-30,-26]",
    "registration.lengths=[1,2.5]",
    "registration.distractors=1",
    "sounds.per_minute=[20,30]",
    "music.probability=0.5",
    "channel.steps=["
    "{effect: telephone, devices: first},"
    "{effect: clip, parameters: {below_peak_db: [3.0, 9.0]}},"
    "{effect: packet_loss, probability: 0.7, parameters: {loss: [0.05, 0.2]}},"
    "{effect: clock, parameters: {ppm: [-90.0, 90.0]}}]",
]


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("clips")
    rng = np.random.default_rng(0)
    rows = ["clip_id,file,label,kind,licence,author,source"]
    for name, seconds, kind in (
        ("knock", 0.3, "event"),
        ("bell", 0.8, "event"),
        ("waltz", 4.0, "music"),
    ):
        soundfile.write(
            folder / f"{name}.wav", 0.2 * rng.standard_normal(round(seconds * RATE)), RATE
        )
        rows.append(f"{name},{name}.wav,{name},{kind},CC-BY-NC 4.0,Ann,https://example.org/{name}")
    soundfile.write(folder / "mute.wav", np.zeros(RATE), RATE)
    rows.append("mute,mute.wav,mute,event,CC0-1.0,Ann,")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf8")
    return folder


def asked(manifest: Path, clips: Path, out: Path, *more: str, sessions: int = 3) -> RunRequest:
    paths = [f"sounds.path={clips}", f"music.path={clips}"]
    return RunRequest(
        out=out,
        corpora=(str(manifest),),
        config=load_config(None, [*SETTINGS, *paths, *more]),
        sessions=sessions,
        seed=5,
        output=OutputFormat(stems=True),
    )


@pytest.fixture(scope="module")
def run(
    tone_corpus: Callable[..., Path], clips: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[RunRequest, Summary]:
    request = asked(tone_corpus(), clips, tmp_path_factory.mktemp("run") / "out")
    summary = render_run(prepare(request, executor="serial"), executor="serial")
    assert summary is not None
    return request, summary


@pytest.fixture(scope="module")
def sessions(run: tuple[RunRequest, Summary]) -> list[Session]:
    return list(read_sessions(run[0].out))


def fingerprint(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "run"
    }


def test_the_folder_has_no_violation(run, sessions) -> None:
    assert list(validate(run[0].out)) == []
    assert len(sessions) == 3


def test_two_workers_give_the_same_bytes(run, tone_corpus, clips, tmp_path: Path) -> None:
    request = asked(tone_corpus(), clips, tmp_path / "again")
    render_run(prepare(request, executor="processes", jobs=2), executor="processes", jobs=2)
    assert fingerprint(request.out) == fingerprint(run[0].out)


def test_events_are_labelled_with_licence_and_level(sessions) -> None:
    events = [event for session in sessions for event in session.events]
    assert {event.kind for event in events} == {"sound", "music"}
    assert {event.label for event in events} <= {"knock", "bell", "waltz"}
    for event in events:
        assert event.snr_db == pytest.approx(event.snr_db_asked, abs=0.3)
        assert event.source is not None and event.source.licence == "CC-BY-NC 4.0"
    for session in sessions:
        if session.events:
            assert "CC-BY-NC 4.0" in session.licences.spdx
            assert session.licences.non_commercial
            assert any("Ann" in line for line in session.licences.attribution)


def test_the_snr_of_an_event_is_what_the_stems_say(run, sessions) -> None:
    """Measured anew from the files: speech in its regions over the sound in its own span."""
    checked = 0
    for session in sessions:
        alone = [e for e in session.events if e.kind == "sound"]
        stems = {s.kind: s.path for s in session.mix.stems if s.kind != "speaker"}
        speech = sum(
            read_audio(run[0].out / s.path, channel=0).astype(float)
            for s in session.mix.stems
            if s.kind == "speaker"
        )
        active = np.zeros(len(speech), dtype=bool)
        for supervision in session.supervisions:
            for region in supervision.regions:
                first, last = region.start_sample // 160 * 160, -(-region.end_sample // 160) * 160
                active[first:last] = True
        speech_power = np.mean(speech[active] ** 2)
        if not alone:
            continue
        sound = read_audio(run[0].out / stems["sound"], channel=0).astype(float)
        for event in alone:
            span = slice(event.start_sample, event.end_sample)
            near = [
                e
                for e in alone
                if e is not event and e.start - 0.6 < event.end and event.start < e.end + 0.6
            ]
            if near:
                continue
            snr = 10 * np.log10(speech_power / np.mean(sound[span] ** 2))
            assert snr == pytest.approx(event.snr_db_asked, abs=0.3)
            checked += 1
    assert checked >= 3


def test_loudness_comes_out_as_asked(run, sessions) -> None:
    levels = [level for session in sessions for level in session.levels]
    assert len(levels) == 6
    for level in levels:
        assert level.unit == "lufs"
        assert -30 <= level.asked <= -26
        assert level.measured == pytest.approx(level.asked, abs=0.05)
    gains = {s.gain_db for session in sessions for s in session.supervisions}
    assert len(gains) > 6  # jitter


def test_the_channel_can_be_applied_again_to_what_was_before_it(run, sessions) -> None:
    for session in sessions:
        assert session.mix.pre_channel is not None
        before = read_audio(run[0].out / session.mix.pre_channel, channel=None)
        planned = [
            PlannedEffect(name=e.name, device=e.device, parameters=e.parameters, seed=e.seed)
            for e in session.channel
        ]
        stage = ChannelStage(planned, (0, 0, 1), RATE, before.shape[1])
        pcm = np.rint(before * 2**15).astype(np.int16)
        again = np.concatenate(list(stage.apply([pcm])), axis=1)
        after = read_audio(run[0].out / session.audio.path, channel=None)
        assert np.array_equal(again, np.rint(after * 2**15).astype(np.int16))
        assert stage.effects == session.channel
        assert not np.array_equal(before, after)


def test_only_the_second_device_has_another_clock(sessions) -> None:
    devices = [e.device for s in sessions for e in s.channel if e.name == "clock"]
    assert set(devices) == {1}
    assert {e.device for s in sessions for e in s.channel if e.name == "telephone"} == {0}


def test_registration_is_from_outside_and_shared(run, sessions) -> None:
    paths = [clip.path for session in sessions for clip in session.registration]
    assert len(paths) == 3 * 2 * (2 + 1)
    assert len(set(paths)) < len(paths)
    on_disk = {
        path.relative_to(run[0].out).as_posix()
        for path in (run[0].out / "registration").rglob("*.flac")
    }
    assert on_disk == set(paths)
    for session in sessions:
        said = {s.source.utterance_id for s in session.supervisions if s.source}
        people = {s.speaker for s in session.supervisions}
        for clip in session.registration:
            assert not said & set(clip.utterance_ids)
            assert clip.duration == clip.length
            assert (clip.speaker_local is None) == (clip.speaker not in people)


def test_a_shared_clip_that_is_lost_or_changed_is_made_again(
    run, tone_corpus, clips, tmp_path: Path
) -> None:
    out = tmp_path / "resumed"
    shutil.copytree(run[0].out, out)
    files = sorted((out / "registration").rglob("*.flac"))
    files[0].unlink()
    files[1].write_bytes(files[2].read_bytes())
    request = asked(tone_corpus(), clips, out)
    assert render_run(prepare(request, executor="serial"), executor="serial") is not None
    assert fingerprint(out) == fingerprint(run[0].out)


def test_unusable_clips_are_in_the_list_of_rejections(run) -> None:
    lines = (run[0].out / "rejected.jsonl").read_text(encoding="utf8").splitlines()
    assert any('"mute.wav"' in line and '"silent"' in line for line in lines)


def test_the_report_has_every_target_and_no_rate_of_the_machine(run) -> None:
    page = (run[0].out / "report.html").read_text(encoding="utf8")
    for words in (
        "speech loudness", "sound event snr", "T60", "clipped samples before the channel",
        "direct-to-reverberant ratio", "Sounds and music", "knock", "Channel: 3 of 3 sessions",
        "lost_packets", "Registration clips", "of distractors", "Reuse of utterances",
        "Reuse of speakers", "SNR of speech_shaped noise", "loudness of speech, LUFS",
    ):  # fmt: skip
        assert words in page, words
    assert "times real time" not in page
    short_of_words = "backchannel share"  # the corpus of this test has few short utterances
    assert [b for b in run[1].breaches if not b.startswith(short_of_words)] == []


def test_a_breach_is_named(sessions) -> None:
    quiet = [
        session.model_copy(
            update={
                "levels": tuple(
                    level.model_copy(update={"measured": level.measured + 1.0})
                    for level in session.levels
                ),
                "events": tuple(
                    event.model_copy(update={"snr_db": event.snr_db - 2.0})
                    for event in session.events
                ),
                "mix": session.mix.model_copy(update={"clipped_samples": 3}),
                "registration": (),
            }
        )
        for session in sessions
    ]
    text = "\n".join(summarise(quiet).breaches)
    for name in ("speech loudness", "sound event snr", "clipped samples", "registration clips"):
        assert name in text, name
    assert "off by 9.000 samples" in text


def test_paths_do_not_change_a_byte(run, tone_corpus, clips, tmp_path: Path) -> None:
    moved = tmp_path / "moved clips"
    shutil.copytree(clips, moved)
    request = asked(tone_corpus(), moved, tmp_path / "out", sessions=1)
    first = prepare(request, executor="serial")
    name = first.planner.plan(0).session_id
    assert (run[0].out / "audio" / "000000" / f"{name}.flac").exists()


def test_on_the_fly_sounds_the_same(run, sessions) -> None:
    prepared = prepare(run[0], executor="serial")
    made = next(iter(generate(prepared.planner, {}, first=0, count=1)))
    assert made.session.audio.pcm_sha256 == sessions[0].audio.pcm_sha256
    assert made.session.events == sessions[0].events
    assert made.session.channel == sessions[0].channel


@pytest.mark.parametrize(
    ("setting", "words"),
    [
        ("sounds.labels=[knock, siren]", "sounds: no clip has the label siren"),
        ("music.labels=[tango]", "music: no clip has the label tango"),
        ("sounds.snr_by_label={gong: [1, 2]}", "no clip has the label gong"),
        ("channel.steps=[{effect: fax}]", r"channel\.steps\[0\].*no effect 'fax'"),
        ("channel.responses=/nowhere", "neither a folder nor a manifest"),
        ("room.microphones=single", "the room has one"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_is_rendered(
    tone_corpus, clips, tmp_path: Path, setting: str, words: str
) -> None:
    with pytest.raises(ConfigurationError, match=words):
        prepare(asked(tone_corpus(), clips, tmp_path / "out", setting), executor="serial")


def test_the_examples_of_the_page_load(repository: Path, tmp_path: Path) -> None:
    page = (repository / "docs" / "acoustics.md").read_text(encoding="utf8")
    examples = re.findall(r"```yaml\n(.*?)```", page, flags=re.DOTALL)
    assert len(examples) >= 2
    for n, text in enumerate(examples):
        path = tmp_path / f"{n}.yaml"
        path.write_text(text, encoding="utf8")
        config = load_config(path)
        check_channel(config.channel, RATE, (0, 1), None)
