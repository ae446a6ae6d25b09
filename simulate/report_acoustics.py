"""Sections of the report about sound: rooms, levels, noises, events, clipping, channel, clips."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from talkover.simulate.acoustic_summary import AcousticSummary
from talkover.simulate.report_html import counts, histogram, table
from talkover.simulate.summary import Summary

Pairs = Sequence[tuple[float, float]]

LEVEL_NAMES = {"dbfs": "level of speech, dBFS", "lufs": "loudness of speech, LUFS"}


def acoustic_plots(summary: Summary) -> list[str]:
    """Histograms; those that need something that the run did not have say so."""
    sound = summary.acoustics
    t60_error = [100 * (got / asked - 1) for asked, got in sound.t60]
    plots = [
        histogram("T60 measured − asked, %", t60_error),
        histogram("direct-to-reverberant ratio, dB, one value a seat", sound.drr_db),
        histogram("peak of the mixture, dBFS", sound.peak_dbfs),
    ]
    for unit, pairs in sound.levels.items():
        plots.append(histogram(f"{LEVEL_NAMES[unit]}, one value a speaker", _got(pairs)))
    for kind, pairs in sound.noise_snr_db.items():
        plots.append(histogram(f"SNR of {kind} noise, dB", _got(pairs)))
    for kind, pairs in sound.sound_snr_db.items():
        what = "music" if kind == "music" else "sound events"
        plots.append(histogram(f"SNR of {what}, dB", _got(pairs)))
    return plots


def acoustic_tables(sound: AcousticSummary) -> list[str]:
    """Tables; sections of which the run had nothing are left out."""
    parts = [_asked_and_got(sound), _clipping(sound)]
    if sound.labels:
        rows = [(k, f"{n:,}", f"{seconds:.1f}") for k, (n, seconds) in sound.labels.items()]
        parts.append(table("Sounds and music", ("label", "number", "seconds"), rows))
    if sound.effects:
        parts.append(_channel(sound))
    if sound.clips:
        parts.append(counts("Registration clips", "clips", "number", sound.clips))
    return parts


def _asked_and_got(sound: AcousticSummary) -> str:
    groups: dict[str, Pairs] = {"T60, s": sound.t60}
    groups |= {LEVEL_NAMES[unit]: pairs for unit, pairs in sound.levels.items()}
    groups |= _named("SNR of {} noise, dB", sound.noise_snr_db)
    groups |= _named("SNR of {} on the timeline, dB", sound.sound_snr_db)
    rows = []
    for name, pairs in groups.items():
        if not pairs:
            continue
        asked, got = np.array(pairs).T
        error = got - asked
        rows.append(
            (
                name,
                f"{len(pairs):,}",
                f"{asked.min():.2f} to {asked.max():.2f}",
                f"{got.min():.2f} to {got.max():.2f}",
                f"{error.mean():+.3f}",
                f"{np.abs(error).max():.3f}",
            )
        )
    head = ("what", "values", "asked", "got", "mean error", "largest error")
    return table("Sound: asked and got", head, rows)


def _clipping(sound: AcousticSummary) -> str:
    scaled = sum(gain < 0 for gain in sound.headroom_db)
    rows = [
        ("samples clipped before the channel", f"{sound.clipped_samples:,}"),
        ("sessions with such samples", f"{sound.clipped_sessions:,}"),
        ("sessions scaled down for headroom", f"{scaled:,}"),
        ("samples over full scale after the channel", f"{sound.channel_clipped_samples:,}"),
    ]
    return table("Clipping", ("what", "number"), rows)


def _channel(sound: AcousticSummary) -> str:
    rows = []
    for effect in sound.effects:
        measured = "; ".join(
            f"{name}: {least:g} to {most:g}, mean {mean:.4g}"
            for name, (least, mean, most) in effect.measured.items()
        )
        given = "; ".join(f"{name}: {value}" for name, value in effect.parameters.items())
        rows.append((effect.name, f"{effect.uses:,}", given, measured))
    title = f"Channel: {sound.channel_sessions:,} of {sound.sessions:,} sessions"
    return table(title, ("effect", "devices", "parameters", "measured"), rows)


def _named(template: str, groups: Mapping[str, Pairs]) -> dict[str, Pairs]:
    return {template.format(name): pairs for name, pairs in groups.items()}


def _got(pairs: Pairs) -> list[float]:
    return [got for _, got in pairs]
