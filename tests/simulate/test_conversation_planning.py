"""Conversations with real utterances: targets verified on labels, and what a corpus lacks."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.manifests.labels import read_labels
from talkover.manifests.statistics import session_statistics
from talkover.manifests.turn_taking import wasserstein
from talkover.simulate.backchannel_supply import BackchannelSource
from talkover.simulate.config import load_config
from talkover.simulate.conversation import open_turn_taking
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import supervisions_of
from talkover.simulate.plan_tally import PlanTally
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.request import RunRequest
from talkover.simulate.run import plan_only, prepare, render_run
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.turns import TurnModel

RATE = 16000
DRY = ["room.kind=dry", "noise.kind=none"]


@pytest.fixture(scope="module")
def cache(
    tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> SourceCache:
    manifest = tone_corpus(speakers=5, utterances=20)
    return SourceCache.build(open_corpora([str(manifest)]), tmp_path_factory.mktemp("c"), RATE)


def planner(cache: SourceCache, *settings: str, seed: int = 0) -> Planner:
    made = make_planner(load_config(None, [*DRY, *settings]), "0" * 64, cache, seed)
    made.check()
    return made


def test_units_are_nearly_as_long_as_the_model_wants(cache: SourceCache) -> None:
    plans = planner(cache, "session.length=[120,120]", "session.speakers=[3,3]")
    wanted: list[float] = []
    placed: list[float] = []
    for index in range(8):
        conversation, _, _ = plans.converse(index)
        wanted += conversation.wanted
        placed += conversation.placed
    assert len(wanted) > 100
    assert wasserstein(np.array(wanted), np.array(placed)) < 0.35


def test_asked_shares_are_met_on_the_labels(cache: SourceCache) -> None:
    plans = planner(cache, "session.length=[300,300]", "turns.shares=[0.5,0.3,0.2]")
    for index in range(3):
        plan = plans.plan(index)
        got = session_statistics(supervisions_of(plan, cache), plan.num_samples, RATE)
        assert got.num_speakers == plan.asked.num_speakers == 3
        asked = plan.asked.talk_shares or {}
        assert sorted(asked.values()) == [0.2, 0.3, 0.5]
        assert max(abs(got.talk_shares[name] - share) for name, share in asked.items()) <= 0.05


def test_dominance_is_the_share_of_the_most_talkative(cache: SourceCache) -> None:
    plans = planner(
        cache, "session.length=[300,300]", "turns.dominance=0.6", "session.speakers=[4,4]"
    )
    plan = plans.plan(0)
    got = session_statistics(supervisions_of(plan, cache), plan.num_samples, RATE)
    assert max(got.talk_shares.values()) == pytest.approx(0.6, abs=0.05)


@pytest.mark.parametrize("most", [1, 2])
def test_no_more_are_heard_at_once_than_asked_whatever_the_seats(
    cache: SourceCache, most: int
) -> None:
    plans = planner(
        cache,
        "session.length=[60,60]",
        "session.speakers=[4,4]",
        "room.kind=shoebox",
        f"turns.max_concurrent={most}",
    )
    for index in range(4):
        plan = plans.plan(index)
        got = session_statistics(supervisions_of(plan, cache), plan.num_samples, RATE)
        assert got.max_concurrent <= most


def test_asked_overlap_and_silence_are_met_in_the_mean(cache: SourceCache) -> None:
    plans = planner(
        cache,
        "session.length=[120,180]",
        "session.speakers=[3,3]",
        "turns.overlap=0.2",
        "turns.silence=0.15",
    )
    rows = [plans.plan(index) for index in range(8)]
    got = [session_statistics(supervisions_of(p, cache), p.num_samples, RATE) for p in rows]
    assert np.mean([g.overlap_of_speech for g in got]) == pytest.approx(0.2, abs=0.02)
    assert np.mean([g.silence_of_time for g in got]) == pytest.approx(0.15, abs=0.02)


@pytest.mark.parametrize(
    "settings",
    [
        ["turns.shares=[0.5,0.3]"],
        ["turns.shares=[0.5,0.5]", "session.speakers=[3,3]"],
        ["turns.shares=[0.5,0.5]", "turns.dominance=0.6"],
    ],
)
def test_shares_that_contradict_themselves_are_refused(settings: list[str]) -> None:
    with pytest.raises(ConfigurationError, match="shares"):
        load_config(None, settings)


def test_shares_of_more_speakers_than_the_corpus_has_are_refused(cache: SourceCache) -> None:
    with pytest.raises(InfeasibleTarget, match="7 speakers"):
        planner(cache, "turns.shares=[0.3,0.2,0.1,0.1,0.1,0.1,0.1]")


def test_length_and_speakers_come_from_the_fit_unless_given(cache: SourceCache) -> None:
    plans = planner(cache, "turns.model=telephone")
    model = TurnModel.load("telephone")
    sizes = [plans.turn_taking.draw_size(0, index, plans.config, 20) for index in range(20)]
    assert {size.speakers for size in sizes} == {2}
    lengths = [size.length or 0.0 for size in sizes]
    assert model.sessions.length.at(0.0) <= min(lengths) < max(lengths)
    assert max(lengths) <= model.sessions.length.at(1.0)


def long_sentences(tone_corpus: Callable[..., Path], folder: Path) -> SourceCache:
    """Utterances without word times or pauses, none of them short."""
    manifest = tone_corpus(speakers=3, utterances=14, words=False, seed=4, gap=(0.05, 0.1))
    rows = [
        row
        for row in open_corpora([str(manifest)])
        if int(getattr(row, "utterance_id", "0").split("-")[1]) % 7 == 6  # seven bursts
    ]
    return SourceCache.build(rows, folder, RATE)


def test_a_corpus_without_short_utterances_has_fewer_backchannels(
    tone_corpus: Callable[..., Path], cache: SourceCache, tmp_path: Path
) -> None:
    model = TurnModel.load("ami")
    config = load_config().utterances
    rich = BackchannelSource(model, config, cache).supply
    poor = BackchannelSource(model, config, long_sentences(tone_corpus, tmp_path)).supply
    assert poor.scale < rich.scale
    assert not poor.suffices and poor.corpus < poor.model
    assert "backchannel share: model" in poor.line()


@pytest.mark.medium
def test_too_few_short_utterances_are_reported_and_are_a_breach(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    folder = sentences_only(tone_corpus)
    config = load_config(None, [*DRY, "session.length=[20,20]", "session.speakers=[2,2]"])
    out = tmp_path / "out"
    request = RunRequest(out=out, corpora=(str(folder),), config=config, sessions=1)
    summary = render_run(prepare(request, executor="serial"), executor="serial")
    assert summary is not None
    assert any("backchannel share" in line for line in summary.breaches)
    assert "corpus allows" in (out / "report.html").read_text(encoding="utf8")


def sentences_only(tone_corpus: Callable[..., Path]) -> Path:
    """A manifest without any short utterance, nor a pause to cut at."""
    manifest = tone_corpus(speakers=3, utterances=14, words=False, seed=4, gap=(0.05, 0.1))
    lines = manifest.read_text(encoding="utf8").splitlines()
    kept = [line for n, line in enumerate(lines[1:]) if n % 7 == 6]
    path = manifest.parent / "long.csv"
    path.write_text("\n".join([lines[0], *kept]) + "\n", encoding="utf8")
    return path


@pytest.mark.medium
def test_plans_alone_report_too_few_short_utterances_and_strict_exits_one(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    words = ["simulate", str(sentences_only(tone_corpus)), "--sessions", "1", "--speakers", "2"]
    words += ["--plan-only", "--json", "--executor", "serial", "--set", "session.length=[20,20]"]
    words += ["--cache", str(tmp_path / "cache"), "--out"]
    lenient = CliRunner().invoke(app, [*words, str(tmp_path / "a")])
    strict = CliRunner().invoke(app, [*words, str(tmp_path / "b"), "--strict"])
    assert (lenient.exit_code, strict.exit_code) == (0, 1)
    assert "backchannel share: model" in json.loads(strict.output)["shortfalls"][0]


def test_plans_are_held_against_what_was_asked_and_drawn_ratios_are_not(
    cache: SourceCache,
) -> None:
    settings = ["session.length=[120,120]", "session.speakers=[3,3]"]
    plans = planner(cache, *settings, "turns.overlap=0.2")
    plan = plans.plan(0)
    said = supervisions_of(plan, cache)
    kept, asked_more, drawn = (
        PlanTally(load_config(None, [*settings, *more]))
        for more in (["turns.overlap=0.2"], ["turns.overlap=0.3"], [])
    )
    for tally in (kept, asked_more, drawn):
        tally.add(plan, said)
    assert kept.breaches == drawn.breaches == []
    assert [line.split(":")[0] for line in asked_more.breaches] == ["overlap"]
    drawn.add(plan, [s for s in said if s.speaker == said[0].speaker])
    assert [line.split(":")[0] for line in drawn.breaches] == ["speakers"]


def test_plans_alone_come_with_the_labels_of_their_audio(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    config = load_config(None, ["session.length=[8,12]", "session.speakers=[2,2]"])
    for name in ("plans", "audio"):
        request = RunRequest(
            out=tmp_path / name, corpora=(str(tone_corpus()),), config=config, sessions=2
        )
        run = prepare(request, executor="serial")
        if name == "plans":
            plan_only(run)
        else:
            render_run(run, executor="serial")
    for label in ("labels.rttm", "labels.stm", "labels.ctm", "labels.seglst.json", "labels.uem"):
        first, second = ((tmp_path / n / label).read_bytes() for n in ("plans", "audio"))
        assert first == second and first


def test_shortened_pauses_keep_the_text_of_an_utterance_without_word_times(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = tone_corpus(words=False, gap=(0.3, 0.4))
    cache = SourceCache.build(open_corpora([str(manifest)]), tmp_path / "c", RATE)
    plans = planner(
        cache, "session.length=[60,60]", "session.speakers=[2,2]", "utterances.split=false"
    )
    plan = plans.plan(0)
    supervisions = supervisions_of(plan, cache)
    assert len(plan.placements) > len(supervisions) > 3
    for row in supervisions:
        assert row.source is not None and row.text is not None
        regions = sum(r.duration for r in row.regions)
        assert row.duration - regions < 0.2 * len(row.regions)


@pytest.mark.medium
def test_plan_only_writes_hours_of_labels(shared_data: Path, tmp_path: Path) -> None:
    config = load_config(None, ["turns.model=ami", "session.length=[120,120]", *DRY])
    request = RunRequest(
        out=tmp_path / "o",
        corpora=(str(shared_data / "speech" / "manifest.csv"),),
        config=config,
        sessions=20,
    )
    path = plan_only(prepare(request, executor="serial"))
    assert len(path.read_text(encoding="utf8").splitlines()) == 20
    labels = read_labels(tmp_path / "o" / "labels.rttm", regions=True)
    assert len(labels) == 20
    plan = json.loads(path.read_text(encoding="utf8").splitlines()[0])
    assert plan["asked"]["num_speakers"] == len(plan["speakers"])


def test_an_unknown_model_names_what_there_is() -> None:
    with pytest.raises(ConfigurationError, match="moss_td"):
        open_turn_taking("nonesuch")
