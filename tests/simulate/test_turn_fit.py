"""Fitting: what goes in comes out, and too little is refused."""

from __future__ import annotations

from collections import namedtuple

import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.turn_events import session_events
from talkover.simulate.turn_fit import fit, fit_sessions, with_pauses_of
from talkover.simulate.turn_sampling import sample_rttm, sample_sessions
from talkover.simulate.turns import TurnModel

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

Segment = namedtuple("Segment", "speaker start end")
FACTS = {"source": "made", "licence": "CC0-1.0", "attribution": "nobody"}


def one_session(*rows: tuple[str, float, float]) -> list[Segment]:
    return [Segment(*row) for row in rows]


def test_walk_of_labels_follows_the_floor() -> None:
    events = session_events(
        one_session(
            ("ana", 0.0, 4.0),
            ("bo", 1.0, 1.5),  # inside
            ("bo", 3.5, 6.0),  # interrupts by 0.5 s
            ("ana", 6.5, 8.0),  # after a gap of 0.5 s
            ("ana", 8.1, 9.0),  # joined: 0.1 s is no pause
            ("ana", 10.0, 11.0),  # after a pause of 1 s
        ),
        0.2,
    )
    assert [u.kind for u in events.floor] == ["switch", "interruption", "switch", "hold"]
    assert [u.offset for u in events.floor] == pytest.approx([0, -0.5, 0.5, 1.0])
    assert [(b.speaker, b.floor) for b in events.contained] == [("bo", 0)]
    assert events.length == 11 and events.speakers == 2
    assert events.overlap == pytest.approx(1.0 / 9.5)
    assert events.silence == pytest.approx(1.5 / 11)
    assert events.window(0) == pytest.approx(3.5)


def fitted_on_samples_of(model: TurnModel, hours: float, calibration_hours: float) -> TurnModel:
    sessions = {
        name: [Segment(f"s{u.speaker}", u.start, u.end) for u in units]
        for name, units in sample_sessions(model, hours, seed=11)
    }
    return fit_sessions(sessions, name="made", calibration_hours=calibration_hours, **FACTS)


@pytest.fixture(scope="module")
def again() -> TurnModel:
    """A model fitted on what was sampled from a preset."""
    return fitted_on_samples_of(TurnModel.load("alimeeting"), 20, 20)


@pytest.mark.medium
def test_fit_on_samples_recovers_durations_ratios_and_speakers(again) -> None:
    model = TurnModel.load("alimeeting")
    for kind in ("hold", "switch", "beyond", "backchannel"):
        first, second = getattr(model.units, kind), getattr(again.units, kind)
        assert second.mean == pytest.approx(first.mean, rel=0.15), kind
    assert again.pauses.at(0.5) == pytest.approx(model.pauses.at(0.5), rel=0.2)
    assert again.sessions.overlap.mean == pytest.approx(model.sessions.overlap.mean, abs=0.06)
    assert again.sessions.silence.mean == pytest.approx(model.sessions.silence.mean, abs=0.02)
    assert set(again.speakers.counts) <= set(model.speakers.counts)


@pytest.mark.medium
def test_samples_of_a_fit_look_like_what_it_was_fitted_on(again) -> None:
    """Parameters may trade with each other (effects against lengths); what is heard may not."""
    heard = fitted_on_samples_of(again, 30, 0).observed
    meant = again.observed
    assert heard["overlap"] == pytest.approx(meant["overlap"], abs=0.05)
    assert heard["silence"] == pytest.approx(meant["silence"], abs=0.02)
    assert heard["changes_per_minute"] == pytest.approx(meant["changes_per_minute"], rel=0.1)
    assert heard["type_shares"] == pytest.approx(meant["type_shares"], abs=0.05)
    assert heard["offset_quantiles"] == pytest.approx(meant["offset_quantiles"], abs=0.3)
    assert heard["pause_quantiles"] == pytest.approx(meant["pause_quantiles"], abs=0.2)


@pytest.mark.medium
def test_fit_records_what_it_was_made_of(again) -> None:
    assert again.origin.licence == "CC0-1.0" and again.origin.join == 0.2
    assert again.origin.hours == pytest.approx(20, abs=1)
    assert again.origin.resolution >= 0.2  # the walk keeps one speaker's units this far apart
    assert len(again.text().encode()) < 10_000


def test_fit_of_the_same_labels_gives_the_same_bytes(tmp_path) -> None:
    path = tmp_path / "labels.rttm"
    sample_rttm(TurnModel.load("aishell4"), 2, path)
    texts = [fit([path], name="x", calibration_hours=0.5, **FACTS).text() for _ in range(2)]
    assert texts[0] == texts[1]


def test_borrowed_shorter_pauses_bring_less_silence() -> None:
    ami, other = TurnModel.load("ami"), TurnModel.load("alimeeting")
    mixed = with_pauses_of(ami, other)
    assert other.pauses.mean < ami.pauses.mean
    assert mixed.sessions.silence.mean < ami.sessions.silence.mean
    assert any("alimeeting" in warning for warning in mixed.warnings)


def test_too_few_sessions_are_refused_naming_the_file(tmp_path) -> None:
    path = tmp_path / "few.rttm"
    path.write_text("SPEAKER s 1 0.0 30.0 <NA> <NA> ana <NA> <NA>\n")
    with pytest.raises(ConfigurationError, match=r"few\.rttm: 0 sessions.*needs 3"):
        fit([path], name="few", **FACTS)


def test_too_few_changes_are_refused() -> None:
    sessions = {
        f"s{n}": one_session(("ana", 0, 10), ("bo", 11, 25), ("ana", 26, 40)) for n in range(5)
    }
    with pytest.raises(ConfigurationError, match=r"10 changes of speaker.*needs 100"):
        fit_sessions(sessions, name="few", **FACTS)


def test_too_few_pauses_are_refused_unless_they_are_borrowed() -> None:
    sessions = {
        f"s{n}": one_session(
            *(("ab"[i % 2], 3.0 * i + 0.1 * (i % 7), 3.0 * i + 2.8) for i in range(60))
        )
        for n in range(4)
    }
    with pytest.raises(ConfigurationError, match=r"0 pauses.*another model"):
        fit_sessions(sessions, name="none", **FACTS)
    model = fit_sessions(
        sessions,
        name="none",
        pauses_from=TurnModel.load("alimeeting"),
        calibration_hours=0,
        **FACTS,
    )
    assert model.pauses == TurnModel.load("alimeeting").pauses


@pytest.mark.medium
def test_ami_fit_knows_its_label_resolution(shared_data) -> None:
    path = shared_data / "conversations" / "ami_train.rttm.gz"
    model = fit([path], name="ami", calibration_hours=0, **FACTS)
    assert model.origin.sessions == 136
    assert model.origin.resolution > 0.5
    assert any("artefact" in warning for warning in model.warnings)
    assert model.observed["overlap"] == pytest.approx(0.127, abs=0.002)
    assert model.observed["silence"] == pytest.approx(0.169, abs=0.002)
