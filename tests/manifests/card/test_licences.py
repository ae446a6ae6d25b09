"""The table of licences: what goes together, and under which licence."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.card.licences import TERMS, allowed, conflict, resolved, spdx_of

NAMES = st.sampled_from(sorted(TERMS))


@pytest.mark.parametrize(
    ("names", "one"),
    [
        (["CC0-1.0"], "CC0-1.0"),
        (["CC0-1.0", "PDDL-1.0"], "CC0-1.0"),
        (["MIT"], "MIT"),
        (["MIT", "CC0-1.0"], "MIT"),
        (["MIT", "Apache-2.0"], "CC-BY-4.0"),
        (["CC-BY-3.0", "CC-BY-4.0"], "CC-BY-4.0"),
        (["CC-BY-4.0", "CC-BY-SA-4.0", "CC0-1.0"], "CC-BY-SA-4.0"),
        (["CC-BY-SA-3.0", "CC-BY-4.0"], "CC-BY-SA-4.0"),  # its section 4(b): a later version
        (["CC-BY-SA-3.0", "CC-BY-SA-4.0"], "CC-BY-SA-4.0"),
        (["CC-BY-4.0", "CC-BY-NC-4.0"], "CC-BY-NC-4.0"),
        (["CC-BY-NC-4.0", "CC-BY-NC-SA-3.0"], "CC-BY-NC-SA-4.0"),
        (["CC-BY-SA-4.0", "GPL-3.0-only"], "GPL-3.0-only"),
        (["CC-BY-4.0", "ODbL-1.0"], "ODbL-1.0"),
        (["CC-BY-SA-4.0", "CC-BY-NC-4.0"], None),
        (["CC-BY-SA-4.0", "CC-BY-NC-SA-4.0"], None),
        (["CC-BY-SA-4.0", "ODbL-1.0"], None),
        (["CDLA-Sharing-1.0", "ODbL-1.0"], None),
        (["CC-BY-ND-4.0"], None),
        (["CC-BY-NC-ND-4.0", "CC0-1.0"], None),
        (["GPL-3.0-only", "CC-BY-NC-4.0"], None),
    ],
)
def test_mixtures_get_the_licence_that_all_allow(names: list[str], one: str | None) -> None:
    assert resolved(names, adapted=True) == one
    assert resolved(reversed(names), adapted=True) == one
    assert (conflict(dict.fromkeys(names), adapted=True) == ()) == (one is not None)


def test_an_unchanged_recording_may_stand_under_no_derivatives() -> None:
    assert resolved(["CC-BY-ND-4.0"], adapted=False) == "CC-BY-ND-4.0"
    assert resolved(["CC-BY-ND-4.0", "CC0-1.0"], adapted=False) == "CC-BY-ND-4.0"
    assert resolved(["CC-BY-ND-4.0", "CC-BY-4.0"], adapted=False) is None


@given(st.lists(NAMES, min_size=1, max_size=5), NAMES)
def test_the_licence_of_a_mixture_is_allowed_by_each_of_its_parts(
    names: list[str], more: str
) -> None:
    one = resolved(names, adapted=True)
    if one is not None:
        assert all(one in allowed(name, adapted=True) for name in names)
        terms = [TERMS[name] for name in names]
        assert TERMS[one].non_commercial or not any(t.non_commercial for t in terms)
        assert TERMS[one].attribution or not any(t.attribution for t in terms)
        assert TERMS[one].share_alike or not any(t.share_alike for t in terms)
        assert not any(t.no_derivatives for t in terms)
    else:
        assert resolved([*names, more], adapted=True) is None  # more never mends it
        against = conflict(dict.fromkeys(names), adapted=True)
        assert against and resolved(against, adapted=True) is None


@pytest.mark.parametrize(
    ("said", "name"),
    [
        ("CC-BY-4.0", "CC-BY-4.0"),
        ("cc by 4.0", "CC-BY-4.0"),
        ("CC_BY-SA_3.0", "CC-BY-SA-3.0"),
        ("https://creativecommons.org/licenses/by-nc-sa/4.0/deed.en", "CC-BY-NC-SA-4.0"),
        ("http://creativecommons.org/publicdomain/zero/1.0/", "CC0-1.0"),
        ("https://spdx.org/licenses/Apache-2.0.html", "Apache-2.0"),
        ("Public Domain", "CC0-1.0"),
        ("apache-2.0", "Apache-2.0"),
        ("not stated", None),
        ("", None),
        (None, None),
        ("CC-BY", None),
    ],
)
def test_names_that_corpora_use_are_understood_or_not_known(
    said: str | None, name: str | None
) -> None:
    assert spdx_of(said) == name
