"""How good the models are, each by itself, on sessions whose truth is known.

Legend: ``T`` frame of a model, ``K`` speaker, ``W`` window, ``D`` dimension, ``N`` trial.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.annotate.models.mels import NUM_MELS, RATE
from talkover.annotate.models.segmentation import powerset_members
from talkover.annotate.models.sound_net import SoundNet
from talkover.annotate.models.voice_net import STRIDE as VOICE_STRIDE
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import FRAME, NUM_SPEAKERS, STRIDE, WindowNet
from talkover.annotate.training.sessions import HeardSession
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

FRAMES_PER_SECOND = 100
DECIDED = 0.5
"""Probability from which a local speaker counts as active."""
MOST_STRETCHES = 12
"""Of one voice in one session: sessions shall count alike."""


@dataclass(frozen=True, kw_only=True)
class WindowErrors:
    """Frames of windows, counted; speakers are linked to the truth window by window."""

    speech: int
    """Frames of speech, those of overlap once for each speaker."""
    missed: int
    false_alarm: int
    confused: int
    overlap_hits: int
    overlap_found: int
    overlap_there: int

    @property
    def der(self) -> float:
        """Errors over speech, no collar, overlap counted."""
        return (self.missed + self.false_alarm + self.confused) / max(1, self.speech)

    @property
    def overlap_f1(self) -> float:
        """Of frames with two or more speakers."""
        return 2 * self.overlap_hits / max(1, self.overlap_found + self.overlap_there)

    def as_dict(self) -> dict[str, float]:
        """Shares of the speech, and the two figures."""
        total = max(1, self.speech)
        return {
            "der": round(self.der, 4),
            "missed": round(self.missed / total, 4),
            "false_alarm": round(self.false_alarm / total, 4),
            "confused": round(self.confused / total, 4),
            "overlap_f1": round(self.overlap_f1, 4),
        }


@torch.inference_mode()
def window_errors(network: WindowNet, sessions: Sequence[HeardSession]) -> WindowErrors:
    """Errors of the segmentation model over windows side by side, all that the sessions hold.

    Args:
        network: The model.
        sessions: The truth.
    """
    members = torch.from_numpy(powerset_members(NUM_SPEAKERS))
    length = round(network.config.window_s * RATE) // FRAME * STRIDE
    counts = np.zeros(7, dtype=np.int64)
    for session in sessions:
        firsts = range(0, session.num_frames - length + 1, length)
        if not firsts:
            continue
        heard = np.stack([session.mels[f : f + length] for f in firsts]).astype(np.float32)
        scores = network.eval()(torch.from_numpy(heard).transpose(1, 2))
        active = (scores.exp() @ members >= DECIDED).numpy()  # [W, T, K]
        for first, found in zip(firsts, active, strict=True):
            there = session.speaking[first : first + length]
            halves = there.reshape(-1, STRIDE, there.shape[1]).mean(axis=1) >= 0.5
            counts += _counted(halves, found)
    speech, missed, false_alarm, confused, hits, found_frames, there_frames = counts.tolist()
    return WindowErrors(
        speech=speech,
        missed=missed,
        false_alarm=false_alarm,
        confused=confused,
        overlap_hits=hits,
        overlap_found=found_frames,
        overlap_there=there_frames,
    )


@torch.inference_mode()
def second_speakers(
    network: WindowNet, sessions: Sequence[HeardSession]
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """How likely a second speaker is in each frame of windows side by side, and whether there is.

    Args:
        network: The model.
        sessions: The truth.

    Returns:
        Second highest probability of the window's speakers, shape ``[N]``, and truth, ``[N]``.
    """
    members = torch.from_numpy(powerset_members(NUM_SPEAKERS))
    length = round(network.config.window_s * RATE) // FRAME * STRIDE
    found, there = [], []
    for session in sessions:
        for first in range(0, session.num_frames - length + 1, length):
            heard = torch.from_numpy(session.mels[first : first + length].astype(np.float32))
            active = (network.eval()(heard.T[None]).exp() @ members)[0]  # [T, K]
            found.append(active.sort(dim=1).values[:, -2].numpy())
            truth = session.speaking[first : first + length]
            halves = truth.reshape(-1, STRIDE, truth.shape[1]).mean(axis=1) >= 0.5
            there.append(halves.sum(axis=1) >= 2)
    return np.concatenate(found), np.concatenate(there)


def _counted(there: NDArray[np.bool_], found: NDArray[np.bool_]) -> NDArray[np.int64]:
    """The seven counts of `WindowErrors` for one window, ``[T, K']`` against ``[T, K]``."""
    there = there[:, there.any(axis=0)]
    wide = max(there.shape[1], found.shape[1])
    there = np.pad(there, ((0, 0), (0, wide - there.shape[1])))
    found = np.pad(found, ((0, 0), (0, wide - found.shape[1])))
    common = there.T.astype(np.int64) @ found.astype(np.int64)  # [K', K]
    right = max(
        sum(int(common[row, column]) for row, column in enumerate(order))
        for order in itertools.permutations(range(wide))
    )
    now, said = there.sum(axis=1), found.sum(axis=1)
    matched = int(np.minimum(now, said).sum())
    return np.array(
        [
            now.sum(),
            np.maximum(now - said, 0).sum(),
            np.maximum(said - now, 0).sum(),
            matched - right,
            ((now >= 2) & (said >= 2)).sum(),
            (said >= 2).sum(),
            (now >= 2).sum(),
        ]
    )


@dataclass(frozen=True, kw_only=True)
class Stretches:
    """Embeddings of stretches in which somebody is alone."""

    vectors: NDArray[np.float32]
    """Of length 1, shape ``[N, D]``."""
    voices: tuple[str, ...]
    sessions: tuple[str, ...]


@torch.inference_mode()
def stretches_of(
    network: VoiceNet, sessions: Sequence[HeardSession], seconds: float, *, seed: int = 0
) -> Stretches:
    """Embeddings of stretches of so many seconds of each voice, alone, pauses left out.

    Args:
        network: The model.
        sessions: The truth.
        seconds: Of speech in each stretch.
        seed: Decides which of many stretches are taken.
    """
    need = round(seconds * FRAMES_PER_SECOND / VOICE_STRIDE)
    vectors, voices, names = [], [], []
    rng = generator(seed, SESSION_OF_CORPUS, f"measure/stretches/{seconds}")
    for session in sessions:
        frames = session.num_frames // VOICE_STRIDE
        mels = torch.from_numpy(session.mels[: frames * VOICE_STRIDE].astype(np.float32))
        features = network.eval().features(mels.T[None])
        solo = session.speaking & (session.speaking.sum(axis=1, keepdims=True) == 1)
        alone = solo[: frames * VOICE_STRIDE].reshape(frames, VOICE_STRIDE, -1).all(axis=1)
        for column, voice in enumerate(session.voices):
            own = np.flatnonzero(alone[:, column])
            pieces = [own[at : at + need] for at in range(0, len(own) - need + 1, need)]
            for number in sorted(rng.permutation(len(pieces))[:MOST_STRETCHES].tolist()):
                picked = features[:, :, torch.from_numpy(pieces[number])]
                vectors.append(network.pool(picked, torch.ones(1, 1, need))[0, 0])
                voices.append(voice)
                names.append(session.id)
    if not vectors:
        raise ValueError(f"nobody speaks alone for {seconds} s")
    unit = torch.nn.functional.normalize(torch.stack(vectors), dim=1).numpy()
    return Stretches(vectors=unit, voices=tuple(voices), sessions=tuple(names))


def trials(found: Stretches, *, within: bool = False) -> tuple[NDArray[Any], NDArray[Any]]:
    """Cosines of pairs of one person and of pairs of two.

    Args:
        found: The stretches.
        within: Pairs of one session only, as in diarization; else of two sessions only, as in
            enrolment. Warped copies of one voice in two sessions are no pair of two people.
    """
    cosine = found.vectors @ found.vectors.T
    voice, session = np.array(found.voices), np.array(found.sessions)
    origin = np.array([v.split("-x")[0] for v in found.voices])
    upper = np.triu(np.ones(cosine.shape, dtype=np.bool_), 1)
    pairs = upper & ((session[:, None] == session[None, :]) == within)
    same = voice[:, None] == voice[None, :]
    return cosine[pairs & same], cosine[pairs & (origin[:, None] != origin[None, :])]


def equal_error(same: NDArray[Any], other: NDArray[Any]) -> tuple[float, float]:
    """Equal error rate, and the threshold that gives it.

    >>> equal_error(np.array([0.9, 0.8, 0.2]), np.array([0.1, 0.3, 0.0]))[0]
    0.3333333333333333
    """
    if len(same) == 0 or len(other) == 0:
        raise ValueError("needs pairs of one person and of two")
    levels = np.unique(np.concatenate([same, other]))
    missed = np.searchsorted(np.sort(same), levels, side="left") / len(same)
    accepted = 1 - np.searchsorted(np.sort(other), levels, side="left") / len(other)
    at = int(np.argmin(np.maximum(missed, accepted)))
    return float(max(missed[at], accepted[at])), float(levels[at])


@torch.inference_mode()
def label_curves(network: SoundNet, session: HeardSession) -> NDArray[np.float32]:
    """Probability of each label in each frame of a session, shape ``[S, L]``."""
    frames = len(session.sounding)
    step = -(-session.num_frames // frames)
    missing = frames * step - session.num_frames
    mels = np.pad(session.mels.astype(np.float32), ((0, missing), (0, 0)), mode="edge")
    assert mels.shape[1] == NUM_MELS
    scores = network.eval()(torch.from_numpy(mels).T[None])
    curves: NDArray[np.float32] = torch.sigmoid(scores)[0].T.numpy()
    return curves


def frame_f1(there: NDArray[np.bool_], found: NDArray[np.bool_]) -> float:
    """F1 of frames; 0 where there is nothing to find and nothing is found."""
    return float(2 * (there & found).sum() / max(1, there.sum() + found.sum()))
