"""How the published systems are trained: their stages, with the source of each figure.

*Published* is what a paper or released code says; all else is *reconstructed*, among it every
number of steps but SpeakerLM's, and how much audio is in a batch. What a system takes from
pretrained parts it does not train here: set their paths (``model.lm.path``), or see the stage
``pretrain`` of the small forms. Any figure can be set, such as ``training.stages.0.steps=2000``.

Published rates suit pretrained parts. Which corpora a stage trains on is the order of the manifests
and ``training.stages.N.data.weights``.
"""

from __future__ import annotations

from dataclasses import replace

from talkover.manifests.instructions.rows import QUESTIONS
from talkover.model.answer_losses import AnswerConfig
from talkover.model.data.choice import TRANSCRIBE, Choice
from talkover.model.data.concatenate import Concatenation
from talkover.model.stages import Stage, TrainConfig

ONE_TALKER = {"1": 1.0}
TWO_TALKERS = {"2": 1.0}

EVERY_MODE = {"match": 1.0, "no": 1.0, "over": 1.0}
"""A third each, drawn for each batch (SpeakerLM)."""

BATCH_SECONDS = 240.0
"""Audio in a batch where nothing is published: about what 6,000 positions at 16.7 Hz hold with
their text."""


def moss_td_training() -> TrainConfig:
    """One stage: everything is trained on the answer.

    Published: encoder and language model are both trained; cross-entropy of the answer alone; the
    released fine-tuning takes a rate of 1e-5, bfloat16 and up to 131,072 positions, for recordings
    of up to 90 minutes. Reconstructed: one stage, for stages, hours and mixture are not published;
    the shape of the schedule.
    """
    stage = Stage(
        name="transcribe",
        steps=20_000,
        losses={"answer": 1.0},
        data=Choice(seconds=5400.0, tokens=131_072),
        lr=1e-5,
        warmup=0.03,
        mask=False,
    )
    return TrainConfig(stages=(stage,), longest=5400.0, precision="bf16")


def balancing_training() -> TrainConfig:
    """Three stages and fine-tuning.

    Published: (1) recognition alone on the semantic stream; (2) the speaker stream and the speakers
    are added, on conversations of two; (3) the same conversations joined to up to 8 speakers; then
    LoRA of rank 16 on encoder and language model, on real meetings. AdamW, rate 1e-4, in the last
    2e-5, warm-up over 0.03 of the steps; cuts of 8 to 20 s; length-aware speaker loss and adaptive
    mask with a floor of 2.0 (nats), added up.
    Reconstructed: the factor of the mask's threshold (1), the weight of the speaker loss (1), what
    is trained in each stage beyond the adapters, joined lengths of up to 50 s (the published
    segments of evaluation), cosine decay. Our stage 1 hears the speaker stream as well, whose
    adapter is at rest.
    """
    cuts = Choice(seconds=BATCH_SECONDS, windows=(8.0, 20.0))
    adapters = ("projector.*", "speaker_projector.*")
    eight = Concatenation(max_speakers=8, longest=50.0)
    return TrainConfig(
        stages=(
            replace(
                _balanced("recognise", 100_000, ("projector.*", "lm.*")),
                losses={"answer": 1.0},
                answer=AnswerConfig(learned=("fmt", "word")),
                data=replace(cuts, talkers=ONE_TALKER),
            ),
            replace(
                _balanced("two", 50_000, (*adapters, "lm.*")),
                data=replace(cuts, talkers=TWO_TALKERS),
            ),
            replace(
                _balanced("eight", 50_000, (*adapters, "lm.*")),
                data=replace(cuts, concatenate=eight),
            ),
            replace(_balanced("tune", 10_000, adapters), lora=True, data=cuts, lr=2e-5),
        ),
        longest=20.0,
        shortest=8.0,
        precision="bf16",
    )


def _balanced(name: str, steps: int, trainable: tuple[str, ...]) -> Stage:
    """What the stages that know speakers have in common."""
    return Stage(
        name=name,
        steps=steps,
        losses={"answer": 1.0, "speaker_tags": 1.0},
        answer=AnswerConfig(learned=("fmt", "word"), mask="all", mask_scale=1.0, mask_floor=2.0),
        trainable=trainable,
        lr=1e-4,
        warmup=0.03,
    )


def moss_audio_training() -> TrainConfig:
    """Two stages of pre-training.

    Published: (1) only the adapter and DeepStack's adapters; (2) everything; recognition (plain,
    word-stamped and sentence-stamped), captions and text at 30:40:30, text in the second alone.
    Reconstructed: rates, steps, time-aware questions in the second stage, which the published
    system learns in fine-tuning. We have no plain text, so it is left out; the weights here are of
    each row, since how many rows a task has is up to who makes them.
    """
    tasks = {TRANSCRIBE: 1.0, "words": 1.0, "sentences": 1.0, "caption": 4.0}
    data = Choice(seconds=BATCH_SECONDS, tasks=tasks)
    return TrainConfig(
        stages=(
            Stage(
                name="adapt",
                steps=20_000,
                losses={"answer": 1.0},
                trainable=("projector.*", "deepstack.*"),
                data=data,
                lr=1e-4,
                warmup=0.03,
                mask=False,
            ),
            Stage(
                name="all",
                steps=100_000,
                losses={"answer": 1.0},
                data=replace(data, tasks={**tasks, **dict.fromkeys(QUESTIONS, 1.0)}),
                lr=2e-5,
                warmup=0.03,
                mask=False,
            ),
        ),
        precision="bf16",
    )


def speakerlm_training() -> TrainConfig:
    """Four stages.

    Published: (1) recognition, LoRA on the language model; (2) only the projectors, on simulated
    mixtures; (3) encoder and projectors, on real data; (4) all, the language model by LoRA. AdamW,
    from 1e-5 up to 5e-5, then a cosine; up to 6,000 tokens in a batch; a million steps a stage;
    clips of 40 to 50 s; each third of the batches registers the speakers, nobody, or the speakers
    and 1 to 50 others.
    Reconstructed: that encoder and projector are trained in the first stage, that registration
    begins with the second, the share of the warm-up. The network of enrolment is never trained.
    """
    clips = Choice(
        seconds=BATCH_SECONDS,
        tokens=6_000,
        windows=(40.0, 50.0),
        registration=EVERY_MODE,
        distractors=(1, 50),
    )
    projectors = ("projector.*", "registration.*")
    single = replace(clips, talkers=ONE_TALKER, registration={})
    return TrainConfig(
        stages=(
            _speakerlm("recognise", ("semantic.*", "projector.*"), single, lora=True),
            _speakerlm("project", projectors, clips),
            _speakerlm("hear", ("semantic.*", *projectors), clips),
            _speakerlm("all", ("semantic.*", *projectors), clips, lora=True),
        ),
        longest=50.0,
        precision="bf16",
    )


def _speakerlm(name: str, trainable: tuple[str, ...], data: Choice, *, lora: bool = False) -> Stage:
    """A million steps from 1e-5 up to 5e-5, then a cosine."""
    return Stage(
        name=name,
        steps=1_000_000,
        losses={"answer": 1.0},
        trainable=trainable,
        lora=lora,
        data=data,
        lr=5e-5,
        first=0.2,
        last=0.0,
        warmup=0.03,
    )


def tagspeech_training() -> TrainConfig:
    """A stage for the semantic encoder, then the projectors.

    Published: the semantic encoder is first tuned on serialised output; then both encoders and the
    language model are frozen and the projectors trained, from scratch, by Adam at 1e-3 with Eden
    (5,000 steps and 6 epochs are the defaults of the released trainer), SpecAugment, cuts of up to
    30 s.
    Reconstructed: the first stage learns by CTC over the words in the order of the text, without a
    mark between turns; its rate; that Eden counts steps alone (set ``epoch_steps`` for epochs).
    """
    data = Choice(seconds=BATCH_SECONDS)
    return TrainConfig(
        stages=(
            Stage(
                name="serialise",
                steps=10_000,
                losses={"ctc": 1.0},
                trainable=("semantic.*", "unit_head.*"),
                data=data,
                lr=1e-4,
                warmup=0.03,
            ),
            Stage(
                name="project",
                steps=30_000,
                losses={"answer": 1.0},
                trainable=("projector.*", "speaker_projector.*"),
                data=data,
                lr=1e-3,
                schedule="eden",
                eden_steps=5000.0,
                eden_epochs=6.0,
                warmup=500 / 30_000,
                first=0.5,
                weight_decay=0.0,
            ),
        ),
        longest=30.0,
        precision="bf16",
    )
