"""Plan → render → `Session`: one conversation with its audio and everything known about it.

The offline way writes files (`make_session`); the on-the-fly way keeps samples in memory
(`generate`). Both take the same two steps, so a model trained on the fly sees what a data engineer
would have written.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, JsonValue

from talkover.manifests.audio_writing import write_audio
from talkover.manifests.io import SessionAudio
from talkover.manifests.markers import file_sha256
from talkover.manifests.pcm import little_endian, to_pcm16
from talkover.manifests.schema import (
    Audio,
    Licences,
    Mix,
    Noise,
    Provenance,
    RegistrationClip,
    Scene,
    Session,
    Supervision,
    time_span,
)
from talkover.manifests.statistics import session_statistics
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.plan import PlannedRegistration, SessionPlan
from talkover.simulate.planner import Planner
from talkover.simulate.render import render, render_to_files
from talkover.simulate.source_cache import SourceCache


class OutputFormat(BaseModel):
    """How sessions are written; changes no decision about them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["flac", "wav"] = "flac"
    stems: bool = False
    """Write each speaker and the noise, 24 bit, beside the mixture."""


@dataclass(frozen=True, slots=True)
class MadeSession:
    """A session whose files are published, and these files."""

    session: Session
    files: list[Path]


def make_session(
    plan: SessionPlan,
    planner: Planner,
    *,
    out: Path,
    folder: str,
    configuration: Mapping[str, JsonValue],
    output: OutputFormat,
) -> MadeSession:
    """Render a plan to files and describe them.

    Args:
        plan: What to make.
        planner: Its corpus, noises and responses.
        out: Root of the produced folder.
        folder: Folder below ``audio/`` and ``stems/`` that holds this session's files.
        configuration: As it goes into the provenance.
        output: File formats.
    """
    supervisions = supervisions_of(plan, planner.cache)
    name = plan.session_id
    audio_path = f"audio/{folder}/{name}.{output.format}"
    stem_folder = f"stems/{folder}/{name}" if output.stems else None
    report = render_to_files(
        plan,
        planner.cache,
        active=active_intervals(supervisions),
        noises=planner.noises,
        rirs=planner.rirs,
        root=out,
        audio_path=audio_path,
        stem_folder=stem_folder,
        format=output.format,
        scratch=out / "run" / "scratch",
    )
    clips = tuple(
        _registration_clip(plan, row, planner.cache, out, f"registration/{folder}/{name}")
        for row in plan.registration
    )
    assert report.audio is not None, "render_to_files writes audio"
    session = _describe(
        plan,
        planner,
        supervisions,
        configuration,
        audio=report.audio,
        scene=report.scene,
        noise=report.noise,
        mix=report.mix,
        registration=clips,
    )
    paths = [audio_path, *(s.path for s in report.mix.stems), *(c.path for c in clips)]
    return MadeSession(session=session, files=[out / path for path in paths])


def generate(
    planner: Planner,
    configuration: Mapping[str, JsonValue],
    *,
    first: int = 0,
    count: int | None = None,
    step: int = 1,
) -> Iterator[SessionAudio]:
    """Sessions in memory, for training on the fly; nothing is written.

    Args:
        planner: From `talkover.simulate.run.make_planner`.
        configuration: As it goes into the provenance.
        first: Index of the first session; a loader worker starts at its own number…
        count: Sessions to make; None goes on for ever.
        step: …and goes on in steps of the number of workers, so no session is made twice.

    Returns:
        Sessions with samples of shape ``[C, T]``, float32. Audio hashes are of these samples as
        16 bit; paths are those that an offline run would use.
    """
    made = 0
    index = first
    while count is None or made < count:
        plan = planner.plan(index)
        supervisions = supervisions_of(plan, planner.cache)
        rendering = render(
            plan,
            planner.cache,
            active=active_intervals(supervisions),
            noises=planner.noises,
            rirs=planner.rirs,
        )
        session = _describe(
            plan,
            planner,
            supervisions,
            configuration,
            audio=_unwritten(plan, rendering.mixture),
            scene=rendering.report.scene,
            noise=rendering.report.noise,
            mix=rendering.report.mix,
            registration=(),
        )
        yield SessionAudio(
            session=session, samples=rendering.mixture, sampling_rate=plan.sampling_rate
        )
        made += 1
        index += step


def _describe(
    plan: SessionPlan,
    planner: Planner,
    supervisions: tuple[Supervision, ...],
    configuration: Mapping[str, JsonValue],
    *,
    audio: Audio,
    scene: Scene,
    noise: tuple[Noise, ...],
    mix: Mix,
    registration: tuple[RegistrationClip, ...],
) -> Session:
    return Session(
        id=plan.session_id,
        origin="simulated",
        audio=audio,
        supervisions=supervisions,
        scene=scene,
        noise=noise,
        mix=mix,
        asked=plan.asked,
        statistics=session_statistics(supervisions, plan.num_samples, plan.sampling_rate),
        registration=registration,
        provenance=Provenance(
            tool="talkover simulate",
            version=version("talkover"),
            configuration=dict(configuration),
            configuration_hash=plan.configuration_hash,
            corpus_hash=plan.corpus_hash,
            root_seed=plan.root_seed,
            session_index=plan.session_index,
            plan_hash=plan.sha256(),
        ),
        licences=_licences(plan, planner, supervisions, noise),
        uem=(time_span(0, plan.num_samples, plan.sampling_rate),),
    )


def _unwritten(plan: SessionPlan, mixture: NDArray[np.float32]) -> Audio:
    """Audio of samples in memory, under the path that an offline run would give them."""
    pcm = to_pcm16(mixture)  # exact: the mixture has 16-bit values
    return Audio(
        path=f"audio/{plan.session_id}.flac",
        pcm_sha256=hashlib.sha256(little_endian(pcm.T)).hexdigest(),
        sampling_rate=plan.sampling_rate,
        num_samples=mixture.shape[1],
        num_channels=mixture.shape[0],
        format="flac",
        subtype="PCM_16",
    )


def _licences(
    plan: SessionPlan,
    planner: Planner,
    supervisions: tuple[Supervision, ...],
    noise: tuple[Noise, ...],
) -> Licences:
    """Every licence that the session's audio carries, sorted; `non_commercial` if any says NC."""
    found = {s.source.licence for s in supervisions if s.source is not None}
    found |= {n.licence for n in noise}
    for row in plan.registration:
        found |= {planner.cache.utterance(number).licence for number in row.utterances}
    if planner.rirs is not None:
        heard = {seat.response for seat in plan.room.seats if seat.response is not None}
        found |= {planner.rirs.response(name).licence for name in heard}
    spdx = tuple(sorted(name for name in found if name))
    return Licences(spdx=spdx, non_commercial=any("NC" in name.upper().split("-") for name in spdx))


def _registration_clip(
    plan: SessionPlan, row: PlannedRegistration, cache: SourceCache, out: Path, folder: str
) -> RegistrationClip:
    """Join a speaker's unused utterances, at the level of the session's speaker, and publish."""
    rate = plan.sampling_rate
    speaker = next(s for s in plan.speakers if s.speaker_local == row.speaker_local)
    pieces: list[NDArray[np.int16]] = []
    for number in row.utterances:
        regions = np.asarray(cache.utterance(number).regions)
        pieces.append(np.asarray(cache.samples(number))[regions[0, 0] : regions[-1, 1]])
    samples = np.concatenate(pieces)[: round(row.length * rate)]
    path = f"{folder}/{row.speaker_local}.flac"
    (out / path).parent.mkdir(parents=True, exist_ok=True)
    write_audio(out / path, [samples], rate, format="flac", subtype="PCM_16")
    return RegistrationClip(
        speaker=speaker.speaker,
        speaker_local=row.speaker_local,
        path=path,
        sha256=file_sha256(out / path),
        duration=round(len(samples) / rate, 8),
        utterance_ids=tuple(cache.utterance(number).utterance_id for number in row.utterances),
    )
