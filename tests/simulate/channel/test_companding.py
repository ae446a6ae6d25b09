"""G.711 against libsndfile's tables, for every sample that there is."""

from __future__ import annotations

import io

import numpy as np
import pytest
import soundfile

from talkover.simulate.channel.companding import Law, decode, encode, round_trip

EVERY_SAMPLE = np.arange(2**16, dtype=np.uint16).view(np.int16)
EVERY_OCTET = np.arange(2**8, dtype=np.uint8)
SUBTYPES: dict[Law, str] = {"a": "ALAW", "mu": "ULAW"}
LAWS: tuple[Law, ...] = ("a", "mu")


@pytest.mark.parametrize("law", LAWS)
def test_octets_are_those_of_libsndfile(law: Law) -> None:
    file = io.BytesIO()
    soundfile.write(file, EVERY_SAMPLE, 8000, format="RAW", subtype=SUBTYPES[law])
    reference = np.frombuffer(file.getvalue(), dtype=np.uint8)
    assert len(reference) == 2**16
    assert np.array_equal(encode(EVERY_SAMPLE, law), reference)


@pytest.mark.parametrize("law", LAWS)
def test_samples_are_those_of_libsndfile(law: Law) -> None:
    file = io.BytesIO(EVERY_OCTET.tobytes())
    reference, _ = soundfile.read(
        file, dtype="int16", channels=1, samplerate=8000, format="RAW", subtype=SUBTYPES[law]
    )
    assert np.array_equal(decode(EVERY_OCTET, law), reference)


@pytest.mark.parametrize("law", LAWS)
def test_what_was_heard_once_stays_what_it_is(law: Law) -> None:
    once = round_trip(law)
    assert np.array_equal(round_trip(law)[once.view(np.uint16)], once)
    assert len(np.unique(once)) == (255 if law == "mu" else 256)  # µ-law has two zeros


@pytest.mark.parametrize("law", LAWS)
def test_the_error_is_a_share_of_the_sample(law: Law) -> None:
    heard = round_trip(law).astype(int)
    exact = EVERY_SAMPLE.astype(int)
    inside = np.abs(exact) < 32100  # above, the largest value of µ-law is heard
    error = np.abs(heard - exact)[inside]
    assert np.all(error <= np.maximum(np.abs(exact)[inside] / 16, 16))
    assert np.all(np.diff(heard[EVERY_SAMPLE.argsort()]) >= 0)


def test_published_code_words() -> None:
    # ITU-T G.711, tables 1 and 2: full scale and zero of both laws as they go over the line.
    ends = np.array([32767, 0, -32768], dtype=np.int16)
    assert encode(ends, "mu").tolist() == [0x80, 0xFF, 0x00]
    assert encode(ends, "a").tolist() == [0xAA, 0xD5, 0x2A]
