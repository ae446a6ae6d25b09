"""Normalisers: golden texts, idempotence, names."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.score.normalize import VERSIONS, Normalizer, get_normalizer


@pytest.mark.parametrize(
    ("spec", "text", "words"),
    [
        ("default", "Don't STOP — well-known, ﬁne!", "dont stop well known fine"),
        ("default", "我们用Python３写。", "我 们 用 python3 写"),
        ("default", "カナ ｶﾅ ひら", "カ ナ カ ナ ひ ら"),
        ("default", "नमस्ते दुनिया", "नमस्ते दुनिया"),
        ("default", "uh yes", "uh yes"),
        ("default", "(laughs) yes", "laughs yes"),
        ("default+tags", "(laughs) <i>yes [S01] （笑）", "yes"),
        ("default+nofillers", "uh yes 嗯 好", "yes 好"),
        ("english", "We’re at the café, 'fine'", "we're at the cafe fine"),
        ("chinese", "嗨，world！", "嗨 world"),
        ("none", "  As IT, is. ", "As IT, is."),
    ],
)
def test_text_comes_out_as_stated(spec: str, text: str, words: str) -> None:
    assert get_normalizer(spec)(text) == words


def test_characters_keep_latin_words_whole_in_chinese_alone() -> None:
    assert get_normalizer("chinese").characters("用GPU跑") == ("用", "gpu", "跑")
    assert get_normalizer("default").characters("用GPU跑") == ("用", "g", "p", "u", "跑")


def test_an_injected_table_maps_to_simplified_and_marks_the_id() -> None:
    normalizer = Normalizer(name="chinese", simplified={"漢": "汉"})
    assert normalizer("漢字") == "汉 字"
    assert normalizer.id.startswith("chinese/1+table-")
    assert normalizer.id != Normalizer(name="chinese", simplified={"漢": "漢"}).id


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=40), st.sampled_from([*VERSIONS, "english+tags", "chinese+nofillers"]))
def test_normalising_twice_changes_nothing(text: str, spec: str) -> None:
    normalizer = get_normalizer(spec)
    assert normalizer(normalizer(text)) == normalizer(text)


@pytest.mark.parametrize("name", [*VERSIONS, "english+tags+nofillers"])
def test_an_id_names_the_same_normaliser_again(name: str) -> None:
    normalizer = get_normalizer(name)
    assert get_normalizer(normalizer.id) == normalizer


@pytest.mark.parametrize("spec", ["whisper", "english/99", "english+lower", ""])
def test_unknown_names_versions_and_options_are_refused(spec: str) -> None:
    with pytest.raises(ConfigurationError, match="normalizer"):
        get_normalizer(spec)
