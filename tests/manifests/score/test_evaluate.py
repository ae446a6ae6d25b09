"""Scoring whole corpora: sums, choices of metrics, strata, intervals, comparison, reports."""

from __future__ import annotations

import json
from html.parser import HTMLParser

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.score import (
    METRICS,
    Side,
    compare,
    make_side,
    score,
    to_html,
    to_json,
    to_markdown,
)
from talkover.manifests.score.bootstrap import bootstrap_intervals, compare_systems
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.tally import Tally, subtract_tallies

REFERENCE = {
    "s1": [Region("a", 0.0, 1.0, "the cat"), Region("b", 1.0, 2.0, "sat on")],
    "s2": [Region("a", 0.0, 2.0, "one two three four"), Region("b", 1.0, 2.0, "five six")],
}
HYPOTHESIS = {
    "s1": [Region("1", 0.0, 1.0, "the cat sat"), Region("2", 1.0, 2.0, "on")],
    "s2": [Region("1", 0.0, 2.0, "one two three four"), Region("2", 1.0, 2.0, "five six")],
}


def test_the_corpus_is_sums_of_errors_over_sums_of_lengths() -> None:
    result = score(REFERENCE, HYPOTHESIS, metrics="cpwer")
    assert result.sessions["s1"]["cpwer"].error_rate == 0.5
    assert result.sessions["s2"]["cpwer"].error_rate == 0.0
    assert result.overall["cpwer"].error_rate == 0.2


def test_missing_and_failed_sessions_are_all_deletions_and_all_miss() -> None:
    for hypothesis, failed in (({"s1": HYPOTHESIS["s1"]}, []), (HYPOTHESIS, ["s2"])):
        result = score(REFERENCE, hypothesis, failed=failed)
        assert result.sessions["s2"]["cpwer"].parts["deletions"] == 6
        assert result.sessions["s2"]["der"].error_rate == 1.0
        assert result.overall["fail_rate"].error_rate == 0.5
    assert score(REFERENCE, {}).overall["tcpwer"].error_rate == 1.0


def test_sessions_that_the_reference_lacks_are_an_error() -> None:
    with pytest.raises(ManifestError, match=r"1 session.*other.*s1"):
        score(REFERENCE, {**HYPOTHESIS, "other": []})


def test_an_empty_reference_is_an_error() -> None:
    with pytest.raises(ManifestError, match="no session"):
        score({}, {})


def test_default_metrics_are_those_that_the_data_allow() -> None:
    silent = {"s": [Region("a", 0.0, 1.0)]}
    result = score(silent, silent)
    assert "der" in result.overall
    assert not {"cpwer", "wer"} & set(result.overall)


@pytest.mark.parametrize(
    ("metric", "message"),
    [("sacer", "registered"), ("cut_words", "word times"), ("nonsense", "unknown metric")],
)
def test_a_metric_without_what_it_needs_is_an_error(metric: str, message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        score(REFERENCE, HYPOTHESIS, metrics=metric)


def test_text_metrics_need_texts() -> None:
    with pytest.raises(ConfigurationError, match="texts"):
        score({"s": [Region("a", 0.0, 1.0)]}, {}, metrics=["cpwer"])


def test_registered_names_may_differ_per_session() -> None:
    names = {"s1": ["a", "b"], "s2": ["a", "b", "z"]}
    result = score(REFERENCE, REFERENCE, metrics="sawer,hallucinated_turns", registered=names)
    assert result.overall["sawer"].errors == 0
    assert result.overall["hallucinated_turns"].parts["silent_speakers"] == 1
    with pytest.raises(ConfigurationError, match="s2"):
        score(REFERENCE, REFERENCE, metrics="sawer", registered={"s1": ["a"]})


def test_all_metrics_of_the_table_run_on_one_corpus() -> None:
    pytest.importorskip("meeteval")
    words = [_Word("the", 0.0, 0.4), _Word("cat", 0.4, 1.0)]
    side = make_side([Region("a", 0.0, 1.0, "the cat", words)], events=())
    result = score({"s": side}, {"s": side}, metrics="all", registered=["a"])
    assert set(result.overall) == set(METRICS)
    assert all(not tally.errors for tally in result.overall.values())


class _Word:
    def __init__(self, symbol: str, start: float, end: float) -> None:
        self.symbol, self.start, self.end = symbol, start, end


def test_differences_are_cp_minus_the_others_and_may_be_negative() -> None:
    pytest.importorskip("meeteval")
    reference = {"s": [Region("a", 0.0, 1.0, "one two"), Region("b", 0.1, 1.0, "three four")]}
    hypothesis = {"s": [Region("y", 0.1, 1.0, "one two"), Region("x", 0.0, 1.0, "three four")]}
    result = score(reference, hypothesis, metrics=["delta_cp", "delta_cp_orc"])
    assert result.overall["delta_cp"].errors == -result.overall["cer"].errors < 0
    assert result.overall["delta_cp_orc"].errors == 0


def test_a_difference_needs_one_length() -> None:
    with pytest.raises(ValueError, match="reference length"):
        subtract_tallies(Tally(errors=1, length=2), Tally(errors=1, length=3))


@pytest.mark.parametrize("name", ["tcp_collar", "der_collar"])
@pytest.mark.parametrize("value", [-0.1, float("nan"), float("inf")])
def test_collars_that_cannot_be_are_refused(name: str, value: float) -> None:
    with pytest.raises(ConfigurationError, match=name):
        score(REFERENCE, HYPOTHESIS, **{name: value})


def _corpus() -> tuple[dict[str, Side], dict[str, Side]]:
    reference = {
        name: make_side(
            segments,
            fields={"snr": snr, "room": room, "gender": "F+M"},
            speaker_fields={"a": {"gender": "F"}, "b": {"gender": "M"}},
        )
        for (name, segments), snr, room in zip(
            REFERENCE.items(), (3.0, 12.0), ("x", None), strict=True
        )
    }
    return reference, {name: make_side(segments) for name, segments in HYPOTHESIS.items()}


def test_strata_split_sessions_and_speakers() -> None:
    reference, hypothesis = _corpus()
    strata = ["overlap", "speakers", "snr", "room", "gender"]
    result = score(reference, hypothesis, metrics="cpwer,wer", strata=strata)
    rates = {
        field: {v: group["cpwer"].error_rate for v, group in groups.items() if "cpwer" in group}
        for field, groups in result.strata.items()
    }
    assert rates["overlap"] == {"0 %": 0.5, "30 to 100 %": 0.0}
    assert rates["speakers"] == {"2": 0.2}
    assert rates["snr"] == {"0 to 5": 0.5, "10 to 15": 0.0}
    assert rates["room"] == {"x": 0.5, "unknown": 0.0}
    assert rates["gender"] == {"F": pytest.approx(1 / 6), "M": pytest.approx(1 / 4)}
    assert set(result.strata["gender"]["F+M"]) == {"wer"}  # has no share per speaker
    for field in ("overlap", "speakers", "snr", "room"):
        groups = result.strata[field].values()
        assert sum(g["wer"].errors for g in groups) == result.overall["wer"].errors


def test_intervals_hold_the_rate_and_shrink_with_sessions() -> None:
    rng = np.random.default_rng(5)

    def corpus(size: int) -> dict[str, dict[str, Tally]]:
        return {
            f"s{i}": {"wer": Tally(errors=int(rng.binomial(100, 0.2)), length=100)}
            for i in range(size)
        }

    widths = []
    for size in (10, 200):
        low, high = bootstrap_intervals(corpus(size), 500, seed=1)["wer"]
        assert low < 0.2 < high
        widths.append(high - low)
    assert widths[1] < widths[0]


def test_intervals_are_the_same_for_the_same_seed_and_absent_for_one_session() -> None:
    sessions = {f"s{i}": {"wer": Tally(errors=i, length=10)} for i in range(5)}
    backwards = dict(reversed(sessions.items()))
    assert bootstrap_intervals(sessions, 200, 3) == bootstrap_intervals(backwards, 200, 3)
    assert bootstrap_intervals(sessions, 200, 3) != bootstrap_intervals(sessions, 200, 4)
    assert bootstrap_intervals({"s": sessions["s1"]}, 200, 3) == {}


def test_a_system_that_is_better_everywhere_is_surely_better() -> None:
    first = {f"s{i}": {"wer": Tally(errors=i, length=10)} for i in range(8)}
    second = {f"s{i}": {"wer": Tally(errors=i + 1, length=10)} for i in range(8)}
    found = compare_systems(first, second, 500, 0)["wer"]
    assert found.difference == pytest.approx(-0.1)
    assert found.low == pytest.approx(-0.1) and found.high == pytest.approx(-0.1)
    assert found.p_value == 0.0
    assert compare_systems(first, first, 500, 0)["wer"].p_value == 1.0


def test_comparison_needs_the_same_settings() -> None:
    first = score(REFERENCE, HYPOTHESIS, tcp_collar=5.0)
    second = score(REFERENCE, HYPOTHESIS, tcp_collar=4.0)
    with pytest.raises(ConfigurationError, match="compared"):
        compare(first, second)


def test_the_json_has_the_promised_shape_and_the_same_bytes_in_any_order() -> None:
    result = score(REFERENCE, HYPOTHESIS, strata=["speakers"])
    text = to_json(result)
    data = json.loads(text)
    for tallies in (data["overall"], *data["sessions"].values()):
        assert {"error_rate", "errors", "length"} <= set(tallies["cpwer"])
    assert data["settings"]["normalizer"] == "default/1"
    assert "collar 0 s" in data["settings"]["der_convention"]
    mixed = {name: list(reversed(segments)) for name, segments in reversed(REFERENCE.items())}
    assert to_json(score(mixed, HYPOTHESIS, strata=["speakers"])) == text


def test_the_comparison_is_in_json_and_markdown() -> None:
    result = compare(score(REFERENCE, HYPOTHESIS), score(REFERENCE, REFERENCE))
    data = json.loads(to_json(result))
    assert data["comparison"]["differences"]["cpwer"]["difference"] == pytest.approx(0.2)
    assert data["comparison"]["overall"]["cpwer"]["errors"] == 0
    assert "| cpwer | 20.00 % | 0.00 % | 20.00 % |" in to_markdown(result)


def test_markup_in_names_and_texts_is_escaped() -> None:
    evil = "<script>alert(1)</script>|*x*"
    labels = {evil: [Region(evil, 0.0, 1.0, "<img src=x onerror=y> <b>hi</b>")]}
    result = score(labels, {}, normalizer="none")
    page = to_html(result)
    assert "<script" not in page and "<img" not in page and "<b>" not in page
    assert "&lt;img" in page
    assert "<script" not in to_markdown(result).replace("\\<", "")


class _Checker(HTMLParser):
    """Collects tags left open and addresses outside the page."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.addresses: list[str] = []
        self.marked: dict[str, int] = {}

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.marked[tag] = self.marked.get(tag, 0) + 1
        self.addresses += [value or "" for name, value in attrs if name in ("src", "href")]
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def test_the_page_marks_every_error_and_needs_no_network() -> None:
    reference = {"s": [Region("a", 0.0, 2.0, "one two three"), Region("b", 3.0, 4.0, "four")]}
    hypothesis = {"s": [Region("x", 0.0, 2.0, "one too three more"), Region("z", 9.0, 9.5, "oh")]}
    checker = _Checker()
    checker.feed(to_html(score(reference, hypothesis, metrics="cpwer")))
    assert checker.open == [] and checker.addresses == []
    legend = 1
    assert checker.marked["mark"] == legend + 2  # "two" for "too", and "four" for "oh"


def test_the_page_says_so_where_there_is_no_hypothesis() -> None:
    assert "No usable hypothesis" in to_html(score(REFERENCE, {}, metrics="tcpwer"))
