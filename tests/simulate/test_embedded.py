"""The embedded corpus: fixed bytes, usable words, voices that can be told apart."""

from __future__ import annotations

import csv
import hashlib
import importlib.util
import json
import re
import threading
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.simulate import embedded
from talkover.simulate.embedded import (
    BACKCHANNELS,
    BACKCHANNELS_PER_SPEAKER,
    COLUMNS,
    VOICES,
    build_embedded_corpus,
    corpus_id,
    default_cache,
    dialogue,
    lines_of,
)

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

needs_engine = pytest.mark.skipif(
    importlib.util.find_spec("espeakng_loader") is None,
    reason='the engine is not installed: pip install -c constraints.txt -e ".[demo]"',
)
LANGUAGES: tuple[embedded.Language, ...] = ("en", "zh")
FEW = (VOICES[0], next(voice for voice in VOICES if voice.language == "zh"))


def digests(folder: Path) -> dict[str, str]:
    files = [path for path in folder.rglob("*") if path.is_file()]
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in files
    }


def rows_of(manifest: Path) -> list[dict[str, str]]:
    with manifest.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A corpus of one English and one Mandarin voice that say every fifth line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(embedded, "lines_of", few_lines)
        return build_embedded_corpus(tmp_path_factory.mktemp("embedded"), voices=FEW).parent


def few_lines(voice: embedded.Voice) -> tuple[embedded.Line, ...]:
    return lines_of(voice)[::5]


@pytest.fixture
def short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let builds say what `built` says."""
    monkeypatch.setattr(embedded, "lines_of", few_lines)


def test_voices_are_distinct_and_cover_both_languages() -> None:
    assert len(VOICES) >= 40
    assert len({voice.id for voice in VOICES}) == len(VOICES)
    assert len({(voice.engine_name, voice.rate_wpm, voice.pitch) for voice in VOICES}) == len(
        VOICES
    )
    counts = Counter((voice.language, voice.gender) for voice in VOICES)
    assert min(counts[language, gender] for language in LANGUAGES for gender in ("female", "male"))
    assert {voice.language for voice in VOICES} == set(LANGUAGES)


@pytest.mark.parametrize("language", LANGUAGES)
def test_lines_hold_words_only(language: embedded.Language) -> None:
    word = {"en": r"[a-z]+('[a-z]+)?", "zh": r"[\u4e00-\u9fff]+"}[language]
    lines = dialogue(language)
    assert len(lines) > 150
    for line in lines:
        assert re.fullmatch(rf"{word}(,? {word})*", line.text), line
        assert line.role in ("a", "b")
        assert re.fullmatch(r"[a-z-]+", line.scene)
    assert len({(line.scene, line.number) for line in lines}) == len(lines)
    lengths = [len(line.text.split()) for line in lines]
    assert min(lengths) == 1 and max(lengths) >= 10


@pytest.mark.parametrize("language", LANGUAGES)
def test_every_line_is_said_by_somebody_and_scenes_are_shared(language: embedded.Language) -> None:
    speakers = [voice for voice in VOICES if voice.language == language]
    said = Counter(line for voice in speakers for line in lines_of(voice))
    assert set(said) == set(dialogue(language))
    assert min(count for line, count in said.items() if line.scene != BACKCHANNELS) >= 3
    for voice in speakers:
        answers = [line for line in lines_of(voice) if line.scene == BACKCHANNELS]
        assert len(answers) == BACKCHANNELS_PER_SPEAKER


def test_the_cache_follows_its_environment_variables(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALKOVER_CACHE", str(tmp_path / "own"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert default_cache() == tmp_path / "own"
    monkeypatch.delenv("TALKOVER_CACHE")
    assert default_cache() == tmp_path / "xdg" / "talkover"
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    assert default_cache() == tmp_path / ".cache" / "talkover"


@needs_engine
def test_the_corpus_goes_to_the_cache_under_the_hash_of_its_content(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TALKOVER_CACHE", str(tmp_path))
    assert embedded.embedded_folder() == tmp_path / f"embedded-{corpus_id()}"
    assert corpus_id(FEW) != corpus_id()


@needs_engine
def test_every_row_describes_its_file(built: Path) -> None:
    rows = rows_of(built / "manifest.csv")
    assert len(rows) == sum(len(few_lines(voice)) for voice in FEW)
    assert (built / "rejected.jsonl").read_text() == ""
    assert len({row["utterance_id"] for row in rows}) == len(rows)
    for row in rows:
        assert tuple(row) == COLUMNS
        info = soundfile.info(built / row["file"])
        assert (info.samplerate, info.channels, info.subtype) == (16_000, 1, "PCM_16")
        assert info.frames == int(row["num_samples"])
        assert info.samplerate == int(row["sample_rate"])
        assert re.fullmatch(r"[A-Za-z0-9._-]+", row["utterance_id"])
        words = json.loads(row["words"])
        assert " ".join(symbol for symbol, _, _ in words) == row["text"]
        ends = [start + duration for _, start, duration in words]
        assert all(a <= b[1] + 1e-9 for a, b in zip(ends, words[1:], strict=False))
        assert ends[-1] <= info.duration


@needs_engine
def test_speech_fills_each_file_but_for_fifty_milliseconds_and_is_not_clipped(built: Path) -> None:
    for row in rows_of(built / "manifest.csv"):
        samples, rate = soundfile.read(built / row["file"])
        loud = np.flatnonzero(np.abs(samples) > np.abs(samples).max() * 0.005)
        assert loud[0] <= 0.05 * rate and len(samples) - loud[-1] <= 0.05 * rate
        assert np.abs(samples).max() < 0.999
        words = json.loads(row["words"])
        assert words[0][1] * rate <= loud[0] + 80
        assert (words[-1][1] + words[-1][2]) * rate >= loud[-1] - 80


@needs_engine
def test_the_corpus_is_the_same_bytes_for_any_number_of_jobs(
    short: None, built: Path, tmp_path: Path
) -> None:
    build_embedded_corpus(tmp_path, jobs=2, voices=FEW)
    again = digests(tmp_path)
    assert len(again) > 20
    assert again == digests(built)


@needs_engine
def test_a_finished_corpus_is_only_verified(
    short: None, built: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*arguments: Any) -> None:
        raise AssertionError("nothing was to be built")

    monkeypatch.setattr(embedded, "_build_part", refuse)
    before = {path: path.stat().st_mtime_ns for path in built.rglob("*.*") if path.name != ".lock"}
    assert build_embedded_corpus(built, voices=FEW) == built / "manifest.csv"
    assert {path: path.stat().st_mtime_ns for path in before} == before


@needs_engine
def test_what_is_missing_or_damaged_is_made_again(short: None, built: Path, tmp_path: Path) -> None:
    expected = digests(built)
    one = FEW[:1]
    build_embedded_corpus(tmp_path, voices=one)
    whole = digests(tmp_path)
    audio = sorted((tmp_path / "audio").rglob("*.flac"))
    audio[0].write_bytes(audio[0].read_bytes()[:100])
    audio[1].unlink()
    (tmp_path / "manifest.csv").unlink()
    assert build_embedded_corpus(tmp_path, voices=one).is_file()
    assert digests(tmp_path) == whole
    marker = tmp_path / "parts" / f"{one[0].id}.json"
    marker.write_text(marker.read_text()[:50])
    progress: list[tuple[int, int]] = []
    build_embedded_corpus(
        tmp_path, voices=one, progress=lambda done, all_: progress.append((done, all_))
    )
    assert digests(tmp_path) == whole
    assert progress == [(1, 1)]
    speech = [name for name in whole if name.startswith("audio")]
    assert {name: expected[name] for name in speech} == {name: whole[name] for name in speech}


@needs_engine
def test_two_builders_of_one_folder_take_turns(short: None, built: Path, tmp_path: Path) -> None:
    threads = [
        threading.Thread(target=build_embedded_corpus, args=(tmp_path,), kwargs={"voices": FEW})
        for _ in range(2)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert digests(tmp_path) == digests(built)


@needs_engine
def test_a_line_without_word_times_is_reported_and_the_rest_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lines = lines_of(FEW[0])[:2]
    # The engine says "of the" as one word.
    merged = embedded.Line(language="en", scene="x", number=1, role="a", text="one of the best")
    monkeypatch.setattr(embedded, "lines_of", lambda voice: (*lines, merged))
    manifest = build_embedded_corpus(tmp_path, voices=FEW[:1])
    assert len(rows_of(manifest)) == 2
    [entry] = [json.loads(line) for line in (tmp_path / "rejected.jsonl").open()]
    assert entry["text"] == "one of the best" and "merged" in entry["reason"]


@needs_engine
def test_a_folder_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(RunError, match=r"cannot write the embedded corpus to .*file"):
        build_embedded_corpus(tmp_path / "file", voices=FEW[:1])


def test_no_jobs_are_refused() -> None:
    with pytest.raises(ValueError, match="jobs must be 1 or more"):
        build_embedded_corpus(jobs=0)


@pytest.mark.slow
@needs_engine
def test_a_small_classifier_tells_the_voices_apart_on_held_out_lines(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    discriminant = pytest.importorskip("sklearn.discriminant_analysis")
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    folder = build_embedded_corpus(tmp_path, jobs=2).parent
    rows = rows_of(folder / "manifest.csv")
    assert (folder / "rejected.jsonl").read_text() == ""
    features = np.array([voice_features(soundfile.read(folder / row["file"])[0]) for row in rows])
    speakers = np.array([row["speaker"] for row in rows])
    held_out = np.array([int(row["line"]) % 3 == 0 for row in rows])
    model = make_pipeline(
        StandardScaler(),
        discriminant.LinearDiscriminantAnalysis(solver="lsqr", shrinkage="auto"),
    )
    model.fit(features[~held_out], speakers[~held_out])
    right = model.predict(features[held_out]) == speakers[held_out]
    with capsys.disabled():
        minutes = sum(int(row["num_samples"]) for row in rows) / 16_000 / 60
        print(f"\n{len(VOICES)} voices, {minutes:.0f} min: {right.mean():.1%} of held-out lines")
    assert len(set(speakers)) == len(VOICES)
    assert right.mean() >= 0.9


def voice_features(samples: NDArray[np.float64]) -> NDArray[np.float64]:
    """Statistics of cepstra and pitch over one line at 16 kHz, shape ``[F]``."""
    audio = samples / np.sqrt(np.mean(samples**2))
    window = np.hanning(512)
    frames = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, 512)), 512)[::160]
    power = np.abs(np.fft.rfft(frames * window)) ** 2
    log_mel = np.log(power @ mel_filters().T + 1e-3)
    loudness = log_mel.mean(axis=1)
    log_mel = log_mel[loudness > np.percentile(loudness, 20)]
    orders = np.arange(24)[:, None] * (np.arange(40) + 0.5)[None, :]
    cepstra = log_mel @ np.cos(np.pi / 40 * orders).T
    long = np.lib.stride_tricks.sliding_window_view(np.pad(audio, (0, 1024)), 1024)[::480]
    spectrum = np.abs(np.fft.rfft(long * np.hanning(1024), 2048)) ** 2
    correlation = np.fft.irfft(spectrum)[:, :320]
    correlation /= correlation[:, :1] + 1e-9
    lags = correlation[:, 40:].argmax(axis=1) + 40
    voiced = correlation[:, 40:].max(axis=1) > 0.5
    pitch = np.log(16_000 / lags[voiced]) if voiced.sum() > 3 else np.full(3, 5.0)
    return np.concatenate(
        [
            cepstra.mean(axis=0)[1:],
            cepstra.std(axis=0),
            np.diff(cepstra, axis=0).std(axis=0),
            np.percentile(pitch, [10, 50, 90]),
        ]
    )


def mel_filters() -> NDArray[np.float64]:
    """Forty triangles from 60 to 7800 Hz on 257 bins, shape ``[40, 257]``."""
    bins = np.linspace(0, 8000, 257)
    low, high = 2595 * np.log10(1 + np.array([60, 7800]) / 700)
    edges = 700 * (10 ** (np.linspace(low, high, 42) / 2595) - 1)
    rising = (bins - edges[:-2, None]) / np.diff(edges)[:-1, None]
    falling = (edges[2:, None] - bins) / np.diff(edges)[1:, None]
    return np.clip(np.minimum(rising, falling), 0, None)
