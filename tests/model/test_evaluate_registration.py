"""A checkpoint evaluated with known voices: who is registered, and the figures of names."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from talkover.cli import app, main
from talkover.manifests.audio import write_audio
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import SessionAudio, read_sessions, write_sessions
from talkover.manifests.schema import RegistrationClip, Session, Source
from talkover.manifests.score import score
from talkover.model.checkpoints import save_model
from talkover.model.codec import SatsCodec
from talkover.model.config import CueConfig
from talkover.model.data.enrolment import VECTORS
from talkover.model.data.names import check_names
from talkover.model.evaluate import evaluate
from talkover.model.evaluate_registration import register_people
from talkover.model.evaluate_types import Item
from talkover.model.inference.spoken import Spoken
from talkover.model.layout import LayoutConfig
from talkover.model.modeling import SatsModel

Make = Callable[..., SessionAudio]
Build = Callable[..., SatsModel]
WIDTH = 8
LAYOUT = LayoutConfig(fusion="add", marker="seconds", marker_style="atomic", registration=True)


def clip(speaker: str, local: str | None, utterance: str = "elsewhere") -> RegistrationClip:
    return RegistrationClip(
        speaker=speaker,
        speaker_local=local,
        path=f"registration/{speaker}.wav",
        sha256="1" * 64,
        duration=3.0,
        utterance_ids=(utterance,),
    )


def with_source(session: Session) -> Session:
    rows = tuple(
        row.model_copy(
            update={
                "source": Source(
                    corpus="tones",
                    recording_id="r",
                    utterance_id=f"{session.id}-{row.speaker}",
                    offset=0.0,
                    duration=row.duration,
                )
            }
        )
        for row in session.supervisions
    )
    return session.model_copy(update={"supervisions": rows})


def registered_folder(folder: Path, write: Callable[..., Path], make: Make, others: int) -> Path:
    """Two sessions of two speakers, and clips (given vectors) of others."""
    items = []
    for number, (one, two) in enumerate([("ana", "bo"), ("cy", "di")]):
        item = make(f"s{number}", [(one, 0.2, "wahid"), (two, 1.0, "ithnan")], 2.0)
        clips = [clip(one, "S01"), clip(two, "S02")]
        clips += [clip(f"x{n:04d}", None) for n in range(number, others, 2)]
        session = with_source(item.session).model_copy(update={"registration": tuple(clips)})
        items.append(replace(item, session=session))
    write(folder, items)
    paths = {c.path for item in items for c in item.session.registration}
    rng = np.random.default_rng(0)
    table = {p: rng.standard_normal(WIDTH).astype(np.float32) for p in sorted(paths)}
    save_file(table, folder / VECTORS)
    return folder


def model_with_room(build: Build, positions: int) -> SatsModel:
    lm = build().parts.lm
    roomy = replace(lm, config={**lm.config, "max_position_embeddings": positions})
    return build(layout=LAYOUT, registration_width=WIDTH, lm=roomy)


def items_of(folder: Path) -> list[Item]:
    return [Item(session=session, folder=folder) for session in read_sessions(folder)]


def test_speakers_and_distractors_are_registered_under_names_that_come_back(
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 100)
    items = items_of(folder)
    model = model_with_room(build, 512)
    assert register_people(items, model, "no", 0, 0).speakers() is None
    match = register_people(items, model, "match", 0, 0)
    assert match.speakers() == {"s0": ["ana", "bo"], "s1": ["cy", "di"]}
    over = register_people(items, model, "over", 100, 0)
    assert over.unregistered == 0
    for item in items:
        people = over.of(item.session.id)
        check_names([r.name for r in people], codec)
        assert len(people) == 102 == len({r.name for r in people})
        said = [Spoken(speaker=r.name, start=0.0, end=1.0, text="a") for r in people]
        said.append(Spoken(speaker="S01", start=0.0, end=1.0, text="a"))
        named = [s.speaker for s in over.named(item.session.id, said)]
        assert named == [*(r.speaker for r in people), "S01"]
    again = register_people(items, model, "over", 100, 0)
    assert [r.name for r in again.of("s0")] == [r.name for r in over.of("s0")]
    assert [r.speaker for r in register_people(items, model, "over", 100, 1).of("s0")] != [
        r.speaker for r in over.of("s0")
    ]


def test_names_are_scored_against_themselves(
    tmp_path: Path, write_tones: Callable[..., Path], make_tones: Make, build: Build
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 10)
    items = items_of(folder)
    people = register_people(items, model_with_room(build, 512), "over", 5, 0)
    names = {r.speaker: r.name for r in people.of("s0")}
    stranger = next(r for r in people.of("s0") if r.speaker not in ("ana", "bo"))
    said = [
        Spoken(speaker=names["ana"], start=0.2, end=0.45, text="wahid"),
        Spoken(speaker=stranger.name, start=1.0, end=1.25, text="ithnan"),
    ]
    reference = [items[0].session]
    scored = score(
        reference,
        {"s0": _segments(people.named("s0", said))},
        metrics=["cpwer", "sawer", "delta_sa_wer", "false_names", "hallucinated_turns"],
        registered={"s0": people.speakers()["s0"]},  # type: ignore[index]
    )
    rates = {name: tally.error_rate for name, tally in scored.overall.items()}
    assert rates["cpwer"] == 0.0  # right but for the name
    assert rates["sawer"] == 1.0  # one word missed under bo, one too many under the stranger
    assert rates["false_names"] == 0.5 and rates["hallucinated_turns"] == 0.5


def _segments(spoken: list[Spoken]) -> list[object]:
    from talkover.manifests.labels import Segment

    return [
        Segment(session="s0", speaker=s.speaker, start=s.start, end=s.end, text=s.text)
        for s in spoken
    ]


@pytest.mark.parametrize(
    ("mode", "distractors", "message"),
    [
        ("over", 11, "only 10 other people"),
        ("over", 0, "registration must be one of"),
        ("match", 3, "registration must be one of"),
        ("all", 0, "registration must be one of"),
    ],
)
def test_what_cannot_be_registered_is_told(
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Make,
    build: Build,
    mode: str,
    distractors: int,
    message: str,
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 8)
    model = model_with_room(build, 512)
    with pytest.raises(ConfigurationError, match=message):
        register_people(items_of(folder), model, mode, distractors, 0)


def test_a_leaking_clip_stops_the_evaluation_with_its_session(
    tmp_path: Path, write_tones: Callable[..., Path], make_tones: Make, build: Build
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 4)
    first, *rest = read_sessions(folder)
    leaking = first.model_copy(update={"registration": (clip("ana", "S01", "s0-ana"),)})
    write_sessions(folder / "cuts.jsonl", [leaking, *rest])
    with pytest.raises(
        ManifestError, match=r"s0: registration clip .*s0-ana of the session itself"
    ):
        register_people(items_of(folder), model_with_room(build, 512), "match", 0, 0)


def test_evaluate_reports_the_figures_of_names(
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 6)
    save_model(model_with_room(build, 1024), codec, tmp_path / "model")
    arguments = [
        "evaluate", str(tmp_path / "model"), str(folder), "--out", str(tmp_path / "out"),
        "--registration", "over", "--distractors", "5", "--bootstrap", "0", "--window", "2",
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    result = json.loads((tmp_path / "out/result.json").read_text())
    text = json.dumps(result)
    for name in ("sawer", "sacer", "delta_sa", "false_names", "hallucinated_turns"):
        assert f'"{name}"' in text
    known = {"ana", "bo", "cy", "di", *(f"x{n:04d}" for n in range(6))}
    lines = (tmp_path / "out/model/labels.rttm").read_text().splitlines()
    speakers = {line.split()[7] for line in lines}
    assert all(name in known or name.startswith("S") for name in speakers)


@pytest.mark.slow
def test_a_thousand_distractors_can_be_registered(
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
) -> None:
    folder = registered_folder(tmp_path / "c", write_tones, make_tones, 1000)
    save_model(model_with_room(build, 16384), codec, tmp_path / "model")
    found = evaluate(
        tmp_path / "model", [folder], registration="over", distractors=1000, bootstrap=0, window=2.0
    )
    assert found.settings["distractors"] == 1000
    assert not found.model.failed
    assert found.model.result.overall["sawer"].length == 4


def test_known_voices_are_registered_for_recordings(
    tmp_path: Path,
    write_tones: Callable[..., Path],
    make_tones: Make,
    build: Build,
    codec: SatsCodec,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    team = tmp_path / "team"
    (team / "Bo").mkdir(parents=True)
    for path, speaker in (("Ana.wav", "ana"), ("Bo/1.wav", "bo"), ("Bo/2.wav", "bo")):
        samples = make_tones("clip", [(speaker, 0.1, "wahid arbaa wahid")], 1.5).samples
        write_audio(team / path, samples, 16000, format="wav", subtype="FLOAT")
    heard = make_tones("talk", [("ana", 0.2, "wahid"), ("bo", 1.0, "ithnan")], 2.0)
    write_audio(tmp_path / "talk.wav", heard.samples, 16000, format="wav", subtype="FLOAT")
    save_model(build(layout=LAYOUT), codec, tmp_path / "model")
    arguments = [
        "transcribe", str(tmp_path / "talk.wav"), "--checkpoint", str(tmp_path / "model"),
        "--out", str(tmp_path / "out"), "--registered", str(team),
    ]  # fmt: skip
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    session = next(iter(read_sessions(tmp_path / "out")))
    assert session.provenance.configuration["registered"] == ["Ana", "Bo"]
    speakers = {row.speaker for row in session.supervisions}
    assert all(name in ("Ana", "Bo") or name.startswith("talk-S") for name in speakers)
    deaf = build(speaker=None, layout=LayoutConfig(), cues=CueConfig())
    save_model(deaf, codec, tmp_path / "plain")
    monkeypatch.setattr(
        "sys.argv", ["talkover", *arguments[:3], str(tmp_path / "plain"), *arguments[4:]]
    )
    with pytest.raises(SystemExit):
        main()
    assert "takes no registered speakers" in capsys.readouterr().err
