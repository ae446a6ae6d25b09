"""What is told of a text by itself."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.audit.text_facts import letters, text_fault
from talkover.manifests.rules import _letters


@given(st.text())
def test_letters_are_those_of_the_contract(text: str) -> None:
    assert letters(text) == _letters(text)


@pytest.mark.parametrize(
    ("text", "language", "fault"),
    [
        ("Well, yes.", "en", None),
        ("naïve café", "en", None),
        ("你好 OK", "zh-CN", None),
        ("OK", "zh", None),
        ("42", "ru", None),
        ("何ですか", "ja", None),
        ("привет all", "en", "script is not of the language"),
        ("hello there", "zh", None),
        ("hello there", "ru", "script is not of the language"),
        ("anything у", None, None),
        ("", "en", "empty"),
        (" \n", "en", "empty"),
        ("…?!", "en", "no letter"),
        ("bell \x07", "en", "control character"),
        ("see https://example.org", "en", "markup"),
        ("<b>no</b>", "en", "markup"),
    ],
)
def test_faults_of_texts(text: str, language: str | None, fault: str | None) -> None:
    assert text_fault(text, letters(text), language) == fault
