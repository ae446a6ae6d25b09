"""Plan → render → `Session`: one conversation with its audio and everything known about it.

The offline way writes files (`make_session`); the on-the-fly way keeps samples in memory
(`generate`). Both take the same two steps, so a model trained on the fly sees what a data engineer
would have written.
"""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import Annotated, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, JsonValue

from talkover.manifests.io import SessionAudio
from talkover.manifests.pcm import little_endian, to_pcm16
from talkover.manifests.schema import (
    Audio,
    Provenance,
    RegistrationClip,
    Session,
    Supervision,
    time_span,
)
from talkover.manifests.statistics import session_statistics
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.licences import licences_of
from talkover.simulate.plan import SessionPlan
from talkover.simulate.planner import Planner
from talkover.simulate.registration_clips import clip_writer
from talkover.simulate.render import Rendering, RenderReport, render, render_to_files
from talkover.simulate.sounds import sound_events
from talkover.simulate.speech_levels import measured_levels
from talkover.simulate.targets import EARLY_SECONDS, Target


class OutputFormat(BaseModel):
    """How sessions are written; changes no decision about them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: Literal["flac", "wav"] = "flac"
    stems: bool = False
    """Write each speaker as heard, and the noise, 24 bit, beside the mixture: its parts."""
    targets: tuple[Literal["early", "direct", "dry"], ...] = ()
    """Further signals of each speaker to write: the beginning of the response, the direct path, the
    voice without a room."""
    early_seconds: Annotated[float, Field(gt=0, le=1)] = EARLY_SECONDS
    """Length of target ``early`` after the direct path."""

    @property
    def all_targets(self) -> tuple[Target, ...]:
        """With the stems' own, each once."""
        own: tuple[Target, ...] = ("reverberant",) if self.stems else ()
        return (*own, *dict.fromkeys(self.targets))


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
    targets = output.all_targets
    report = render_to_files(
        plan,
        planner.cache,
        active=active_intervals(supervisions),
        materials=planner.materials,
        root=out,
        audio_path=audio_path,
        stem_folder=f"stems/{folder}/{name}" if targets else None,
        targets=targets,
        early_seconds=output.early_seconds,
        format=output.format,
        scratch=out / "run" / "scratch",
    )
    clips = clip_writer(out, planner.cache).write(plan)
    assert report.audio is not None, "render_to_files writes audio"
    session = _describe(
        plan,
        planner,
        supervisions,
        configuration,
        audio=report.audio,
        report=report,
        registration=clips,
    )
    own = [audio_path, *(s.path for s in report.mix.stems)]
    own += [] if report.mix.pre_channel is None else [report.mix.pre_channel]
    paths = [*own, *sorted({c.path for c in clips})]
    return MadeSession(session=session, files=[out / path for path in paths])


def generate(
    planner: Planner,
    configuration: Mapping[str, JsonValue],
    *,
    first: int = 0,
    count: int | None = None,
    step: int = 1,
    device: str | None = None,
    batch: int = 8,
) -> Iterator[SessionAudio]:
    """Sessions in memory, for training on the fly; nothing is written.

    Args:
        planner: From `talkover.simulate.planner_opening.make_planner`.
        configuration: As it goes into the provenance.
        first: Index of the first session; a loader worker starts at its own number…
        count: Sessions to make; None goes on for ever.
        step: …and goes on in steps of the number of workers, so no session is made twice.
        device: Name of a torch device, such as ``cuda``, that renders; None renders with numpy, to
            the samples of an offline run. On a device a few samples differ by a step of 16 bit.
        batch: Sessions that a device renders at once.

    Returns:
        Sessions with samples of shape ``[C, T]``, float32. Audio hashes are of these samples as
        16 bit; paths are those that an offline run would use.
    """
    indices = islice(itertools.count(first, step), count)
    while numbers := list(islice(indices, batch if device is not None else 1)):
        plans = [planner.plan(index) for index in numbers]
        labels = [supervisions_of(plan, planner.cache) for plan in plans]
        renderings = _rendered(planner, plans, labels, device)
        for plan, supervisions, rendering in zip(plans, labels, renderings, strict=True):
            session = _describe(
                plan,
                planner,
                supervisions,
                configuration,
                audio=_unwritten(plan, rendering.mixture),
                report=rendering.report,
                registration=(),
            )
            yield SessionAudio(
                session=session, samples=rendering.mixture, sampling_rate=plan.sampling_rate
            )


def _rendered(
    planner: Planner,
    plans: Sequence[SessionPlan],
    labels: Sequence[tuple[Supervision, ...]],
    device: str | None,
) -> list[Rendering]:
    """Some plans in memory, by numpy or on a device."""
    active = [active_intervals(supervisions) for supervisions in labels]
    sources, materials = planner.cache, planner.materials
    if device is None:
        pairs = zip(plans, active, strict=True)
        return [render(plan, sources, active=spans, materials=materials) for plan, spans in pairs]
    from talkover.simulate.torch_render import render_batch  # torch takes seconds to import

    return render_batch(plans, sources, active=active, materials=materials, device=device)


def _describe(
    plan: SessionPlan,
    planner: Planner,
    supervisions: tuple[Supervision, ...],
    configuration: Mapping[str, JsonValue],
    *,
    audio: Audio,
    report: RenderReport,
    registration: tuple[RegistrationClip, ...],
) -> Session:
    events = sound_events(plan, report.sounds, planner.sounds)
    return Session(
        id=plan.session_id,
        origin="simulated",
        audio=audio,
        supervisions=supervisions,
        events=events,
        scene=report.scene,
        noise=report.noise,
        mix=report.mix,
        channel=report.channel,
        levels=measured_levels(plan, planner.cache, supervisions),
        asked=plan.asked,
        statistics=session_statistics(supervisions, plan.num_samples, plan.sampling_rate),
        registration=registration,
        provenance=Provenance(
            tool="talkover simulate",
            version=_version(),
            configuration=dict(configuration),
            configuration_hash=plan.configuration_hash,
            corpus_hash=plan.corpus_hash,
            root_seed=plan.root_seed,
            session_index=plan.session_index,
            plan_hash=plan.sha256(),
        ),
        licences=licences_of(
            plan,
            planner.cache,
            supervisions=supervisions,
            noise=report.noise,
            events=events,
            rirs=planner.rirs,
            microphones=planner.microphones,
        ),
        uem=(time_span(0, plan.num_samples, plan.sampling_rate),),
    )


@lru_cache(maxsize=1)
def _version() -> str:
    """Of talkover; read once, since that parses a file."""
    return version("talkover")


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
