"""Labels of speakers who walk: the direct path of each time, as it sounds."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkover.manifests.canonical import json_sha256
from talkover.manifests.jobs import make_executor
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.plan import SessionPlan
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.render import render
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.trajectories import direct_delay_at

RATE = 16000


@pytest.fixture(scope="module")
def planner(tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Planner:
    config = load_config(
        None,
        [
            "room.moving=1", "room.speed=[0.7,0.8]", "room.t60=[0.2,0.25]", "noise.kind=none",
            "session.length=[20,25]", "session.speakers=[2,2]", "room.directivity=omni",
        ],
    )  # fmt: skip
    cache = SourceCache.build(
        open_corpora([str(tone_corpus(speakers=3, utterances=20))]),
        tmp_path_factory.mktemp("cache"),
        RATE,
        executor=make_executor("serial", 1),
    )
    return make_planner(config, json_sha256(config.plain()), cache, 3)


def sitting(plan: SessionPlan) -> SessionPlan:
    """The same plan with nobody on the way."""
    seats = tuple(seat.model_copy(update={"trajectory": ()}) for seat in plan.room.seats)
    return plan.model_copy(update={"room": plan.room.model_copy(update={"seats": seats})})


def test_every_word_has_the_delay_of_its_time(planner: Planner) -> None:
    moved = 0
    for index in range(4):
        plan = planner.plan(index)
        assert plan.room.microphone_positions_m is not None
        ear = plan.room.microphone_positions_m[0]
        seats = {seat.speaker_local: seat for seat in plan.room.seats}
        walking = {s.id: s for s in supervisions_of(plan, planner.cache)}
        still = sorted(supervisions_of(sitting(plan), planner.cache), key=lambda s: s.start)
        emitted = {
            (s.speaker_local, w.start_sample - seats[s.speaker_local].direct_delay_samples)
            for s in still
            for w in s.words or ()
        }
        for supervision in walking.values():
            seat = seats[supervision.speaker_local]
            for word in supervision.words or ():
                delays = [
                    word.start_sample - start
                    for local, start in emitted
                    if local == seat.speaker_local
                    and abs(word.start_sample - start) < 400
                    and start + direct_delay_at(seat, ear, RATE, start) == word.start_sample
                ]
                assert delays, f"{supervision.id}: {word.symbol} has no delay of its time"
                moved += delays[0] != seat.direct_delay_samples
    assert moved > 20


def test_words_sound_where_their_labels_are(planner: Planner) -> None:
    """To half a millisecond: a label with the delay of the seat would be off by several."""
    late: list[int] = []
    wrong: list[int] = []
    for index in range(3):
        plan = planner.plan(index)
        supervisions = supervisions_of(plan, planner.cache)
        rendering = render(
            plan,
            planner.cache,
            active=active_intervals(supervisions),
            response_kind="direct",
            targets=["reverberant"],
        )
        seats = {seat.speaker_local: seat for seat in plan.room.seats}
        assert plan.room.microphone_positions_m is not None
        ear = plan.room.microphone_positions_m[0]
        for supervision in supervisions:
            signal = np.abs(rendering.stems[supervision.speaker_local][0])
            seat = seats[supervision.speaker_local]
            for word in supervision.words or ():
                around = signal[max(0, word.start_sample - 300) : word.start_sample + 800]
                before = min(300, word.start_sample)
                if around[: before - 60].max(initial=0.0) > 0.02 * around.max():
                    continue  # the word before is too near
                onset = int(np.argmax(around > 0.1 * around.max())) - before
                late.append(onset)
                now = direct_delay_at(seat, ear, RATE, word.start_sample)
                wrong.append(onset + now - seat.direct_delay_samples)
    assert len(late) > 20
    assert np.ptp(late) <= 24  # the onset of tones of several frequencies
    assert np.ptp(wrong) > 40
