"""Asked against got: only what somebody asked for can be missed."""

from __future__ import annotations

from talkover.simulate.report import report_html
from talkover.simulate.summary import Figure, summarise


def figure(got: tuple[float, ...], *, of_means: bool = True, is_drawn: bool = False) -> Figure:
    return Figure(
        name="overlap",
        unit="of speech",
        asked=(0.1, 0.2),
        got=got,
        tolerance=0.02,
        of_means=of_means,
        is_drawn=is_drawn,
    )


def test_means_may_hold_where_single_sessions_do_not() -> None:
    assert figure((0.2, 0.1)).holds
    assert not figure((0.2, 0.1), of_means=False).holds


def test_a_drawn_value_is_no_promise() -> None:
    assert not figure((0.5, 0.5)).holds
    assert figure((0.5, 0.5), is_drawn=True).holds


def test_an_empty_run_has_a_page_that_says_so() -> None:
    page = report_html(summarise([]))
    assert "no values" in page and "not asked" in page
    assert "http" not in page and "<script" not in page


def test_the_page_is_the_same_bytes_for_the_same_run() -> None:
    assert report_html(summarise([])) == report_html(summarise([]))
