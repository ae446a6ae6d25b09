"""Which tokens of an answer count, and how near is right: against loops of ten lines."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from talkover.manifests.errors import ConfigurationError
from talkover.model.answer_losses import (
    AnswerConfig,
    Labels,
    TimeTable,
    answer_total,
    atom_targets,
    digit_targets,
    masked_words,
    require_soft_times,
    speaker_tags_loss,
    token_losses,
)
from talkover.model.layout import IGNORED
from talkover.model.target import ATOM, MERGED_DIGITS, NO_TIME, TAGS

FMT, TIME, SPEAKER, WORD = (TAGS.index(tag) + 1 for tag in ("fmt", "time", "speaker", "word"))
SHAPE = (2, 9)
TABLE = TimeTable(atoms=(), figures=(), steps_per_second=10)


def labels_of(**changes: Tensor) -> Labels:
    """Two rows: ``S w w  S w`` in two turns with an end, and ``S w w`` in one with padding."""
    tags = torch.tensor(
        [
            [FMT, SPEAKER, WORD, WORD, FMT, SPEAKER, SPEAKER, WORD, FMT],
            [SPEAKER, WORD, WORD, FMT, 0, 0, 0, 0, 0],
        ],
        dtype=torch.uint8,
    )
    segments = torch.tensor([[-1, 0, 0, 0, 1, 1, 1, 1, -1], [0, 0, 0, -1, -1, -1, -1, -1, -1]])
    labels = Labels(
        ids=torch.where(tags > 0, 1, IGNORED),
        tags=tags,
        segments=segments,
        overlapped=segments == 1,
        steps=torch.full(SHAPE, NO_TIME),
        places=torch.full(SHAPE, NO_TIME),
    )
    return replace(labels, **changes)


def losses(seed: int = 0) -> Tensor:
    return 6 * torch.rand(SHAPE, generator=torch.Generator().manual_seed(seed))


def reference_answer(each: Tensor, labels: Labels, config: AnswerConfig) -> float:
    """Row by row, token by token."""
    total = 0.0
    for row in range(len(each)):
        learned = [t for t in range(each.shape[1]) if int(labels.tags[row, t]) > 0]
        learned = [t for t in learned if TAGS[int(labels.tags[row, t]) - 1] in config.learned]
        words = [t for t in learned if int(labels.tags[row, t]) == WORD]
        mean = sum(float(each[row, t]) for t in words) / max(1, len(words))
        threshold = max(config.mask_floor, config.mask_scale * mean)
        kept = []
        for t in learned:
            in_scope = config.mask == "all" or bool(labels.overlapped[row, t])
            masked = t in words and in_scope and float(each[row, t]) > threshold
            if config.mask == "none" or not masked:
                kept.append(float(each[row, t]))
        total += len(learned) * sum(kept) / max(1, len(kept))
    return total


@pytest.mark.parametrize("mask", ["none", "all", "overlap"])
@pytest.mark.parametrize("learned", [TAGS, ("word",), ("fmt", "word"), ("speaker",)])
@given(
    seed=st.integers(0, 1000),
    scale=st.floats(0, 3),
    floor=st.floats(0, 4),
)
@settings(max_examples=15)
def test_the_answer_is_the_mean_over_what_is_not_masked(
    mask: str, learned: tuple[str, ...], seed: int, scale: float, floor: float
) -> None:
    config = AnswerConfig(mask=mask, learned=learned, mask_scale=scale, mask_floor=floor)  # type: ignore[arg-type]
    each, labels = losses(seed), labels_of()
    found = answer_total(each, labels, config)
    assert float(found.total) == pytest.approx(reference_answer(each, labels, config), rel=1e-5)
    assert int(found.weight) == int(labels.learned(config).sum())


def test_an_endless_threshold_is_plain_cross_entropy() -> None:
    each, labels = losses(), labels_of()
    plain = answer_total(each, labels, AnswerConfig())
    wide = answer_total(each, labels, AnswerConfig(mask="all", mask_floor=1e6))
    assert float(wide.total) == pytest.approx(float(plain.total))
    assert float(plain.total) == pytest.approx(float((each * (labels.tags > 0)).sum()))


def test_a_threshold_of_zero_leaves_no_word() -> None:
    config = AnswerConfig(mask="all", mask_floor=0.0, mask_scale=0.0, learned=("word",))
    each = losses().requires_grad_()
    found = answer_total(each, labels_of(), config)
    found.total.backward()
    assert float(found.total.detach()) == 0 and not each.grad.any()


def test_nothing_is_learned_through_the_mask() -> None:
    """The gradient is that of the mean over fixed tokens."""
    each, labels = losses(3).requires_grad_(), labels_of()
    config = AnswerConfig(mask="all", mask_floor=1.0, mask_scale=0.8, learned=("word",))
    masked = masked_words(each, labels, config)
    assert not masked.requires_grad and 0 < int(masked.sum()) < 5
    answer_total(each, labels, config).total.backward()
    words = labels.are("word")
    kept = words & ~masked
    wanted = kept * (words.sum(1, keepdim=True) / kept.sum(1, keepdim=True))
    assert torch.allclose(each.grad, wanted.float())


def test_only_words_of_overlapped_turns_are_masked_where_the_scope_is_overlap() -> None:
    each = torch.full(SHAPE, 9.0)
    config = AnswerConfig(mask="overlap", mask_scale=0.5)
    masked = masked_words(each, labels_of(), config)
    assert masked.nonzero().tolist() == [[0, 7]]


@given(seed=st.integers(0, 1000))
@settings(max_examples=20)
def test_a_row_counts_the_same_in_any_company(seed: int) -> None:
    each, labels = losses(seed), labels_of()
    for config in (AnswerConfig(mask="all", mask_floor=1.5), AnswerConfig(mask="overlap")):
        whole = answer_total(each, labels, config)
        parts = [
            answer_total(each[row : row + 1], _row(labels, row), config) for row in range(len(each))
        ]
        assert float(whole.total) == pytest.approx(sum(float(p.total) for p in parts), rel=1e-5)
        assert int(whole.weight) == sum(int(p.weight) for p in parts)


def _row(labels: Labels, row: int) -> Labels:
    return Labels(**{name: value[row : row + 1] for name, value in vars(labels).items()})


def test_a_speakers_tag_counts_by_the_words_of_its_turn() -> None:
    each, labels = losses(), labels_of()
    found = speaker_tags_loss(each, labels)
    total = 0.0
    for row in range(2):
        lengths = {
            k: int(((labels.segments[row] == k) & (labels.tags[row] == WORD)).sum()) for k in (0, 1)
        }
        for t in range(SHAPE[1]):
            if int(labels.tags[row, t]) == SPEAKER:
                share = lengths[int(labels.segments[row, t])] / sum(lengths.values())
                total += share * float(each[row, t])
    assert float(found.total) == pytest.approx(total, rel=1e-5)
    assert int(found.weight) == 2


def test_rows_without_words_or_speakers_do_not_count() -> None:
    silent = labels_of(tags=torch.zeros(SHAPE, dtype=torch.uint8))
    assert [float(x) for x in speaker_tags_loss(losses(), silent)] == [0, 0]
    anonymous = labels_of()
    anonymous = replace(anonymous, tags=torch.where(anonymous.tags == SPEAKER, 0, anonymous.tags))
    assert int(speaker_tags_loss(losses(), anonymous).weight) == 0


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def test_a_tokens_loss_is_its_negative_log_probability() -> None:
    logits = torch.randn(*SHAPE, 5, generator=torch.Generator().manual_seed(0))
    labels = labels_of()
    each = token_losses(logits, labels, TABLE, 0.0)
    for row, t in torch.cartesian_prod(torch.arange(SHAPE[0]), torch.arange(SHAPE[1])).tolist():
        wanted = -math.log(softmax(logits[row, t].tolist())[1]) if labels.tags[row, t] else 0.0
        assert float(each[row, t]) == pytest.approx(wanted, rel=1e-5)


def test_smoothing_spreads_some_probability_over_all_tokens() -> None:
    labels = timed([NO_TIME], [NO_TIME], [0])
    probabilities = softmax([2.0, 0.0, -1.0])
    wanted = -0.9 * math.log(probabilities[0]) - 0.1 * sum(map(math.log, probabilities)) / 3
    found = token_losses(torch.tensor([[[2.0, 0.0, -1.0]]]), labels, TABLE, 0.0, smoothing=0.1)
    assert float(found) == pytest.approx(wanted)


def gauss(distance: float, width: float) -> float:
    return math.exp(-0.5 * (distance / width) ** 2)


def test_soft_atoms_are_a_gaussian_over_times() -> None:
    width = 1.5
    found = atom_targets(torch.tensor([3, 0]), 8, width)
    for row, step in enumerate((3, 0)):
        weights = [gauss(k - step, width) for k in range(8)]
        wanted = [w / sum(weights) for w in weights]
        assert found[row].tolist() == pytest.approx(wanted, abs=1e-6)


def digit_reference(step: int, place: int, width: float) -> list[float]:
    """Mass of all times that begin with the digits ahead and each digit, in tenths of seconds."""

    def mass(k: int) -> float:
        def below(x: float) -> float:
            return 0.5 * (1 + math.erf(x / width / math.sqrt(2)))

        return below(k + 0.5 - step) - below(k - 0.5 - step)

    text = f"{step / 10:.1f}"
    figures = text.replace(".", "")
    at = len(figures) - 1 - round(math.log10(place))
    found = []
    for digit in "0123456789":
        same = [
            k
            for k in range(10 ** len(figures))
            if len(f"{k / 10:.1f}") == len(text)
            and f"{k / 10:.1f}".replace(".", "")[: at + 1] == figures[:at] + digit
        ]
        found.append(sum(mass(k) for k in same))
    return [value / sum(found) for value in found]


@pytest.mark.parametrize("width", [0.3, 0.8, 3.0])
@pytest.mark.parametrize("step", [0, 7, 95, 99, 100, 105, 119, 123, 999])
def test_soft_digits_are_the_same_gaussian_written_digit_by_digit(step: int, width: float) -> None:
    places = [10**n for n in range(max(2, len(str(step))))]
    found = digit_targets(torch.tensor([step] * len(places)), torch.tensor(places), 10, width)
    for row, place in enumerate(places):
        assert found[row].tolist() == pytest.approx(digit_reference(step, place, width), abs=1e-5)


@given(step=st.integers(0, 9_999), width=st.floats(0.05, 30))
def test_soft_targets_are_distributions_with_their_peak_at_the_right_time(
    step: int, width: float
) -> None:
    atoms = atom_targets(torch.tensor([step % 120]), 120, width)
    assert float(atoms.sum()) == pytest.approx(1, abs=1e-5)
    assert int(atoms.argmax()) == step % 120
    units = digit_targets(torch.tensor([step]), torch.tensor([1]), 10, width)
    assert float(units.sum()) == pytest.approx(1, abs=1e-5)
    assert int(units.argmax()) == step % 10 or float(units.max() - units[0, step % 10]) < 1e-6


def timed(places: list[int], steps: list[int], ids: list[int]) -> Labels:
    count = len(ids)
    return Labels(
        ids=torch.tensor([ids]),
        tags=torch.full((1, count), TIME, dtype=torch.uint8),
        segments=torch.zeros(1, count, dtype=torch.long),
        overlapped=torch.zeros(1, count, dtype=torch.bool),
        steps=torch.tensor([steps]),
        places=torch.tensor([places]),
    )


def test_soft_times_are_learned_only_at_times() -> None:
    """Tokens 0 to 9 are digits, 10 to 19 the atoms of 0 s to 0.9 s, 20 a word."""
    table = TimeTable(atoms=tuple(range(10, 20)), figures=tuple(range(10)), steps_per_second=10)
    logits = torch.randn(1, 4, 21, generator=torch.Generator().manual_seed(5), requires_grad=True)
    labels = timed([ATOM, 10, 1, NO_TIME], [4, 23, 23, NO_TIME], [14, 2, 3, 20])
    each = token_losses(logits, labels, table, 0.08)
    scores = logits.detach().log_softmax(-1)[0]
    wanted = [
        -sum(q * float(scores[0, 10 + k]) for k, q in enumerate(_atoms_of(4))),
        -sum(q * float(scores[1, d]) for d, q in enumerate(digit_reference(23, 10, 0.8))),
        -sum(q * float(scores[2, d]) for d, q in enumerate(digit_reference(23, 1, 0.8))),
        -float(scores[3, 20]),
    ]
    assert each[0].tolist() == pytest.approx(wanted, rel=1e-4)
    each.sum().backward()
    assert torch.isfinite(logits.grad).all()
    assert logits.grad.abs().sum(-1).gt(0).all()


def _atoms_of(step: int) -> list[float]:
    weights = [gauss(k - step, 0.8) for k in range(10)]
    return [w / sum(weights) for w in weights]


def test_a_narrow_gaussian_is_plain_cross_entropy() -> None:
    table = TimeTable(atoms=tuple(range(10, 20)), figures=tuple(range(10)), steps_per_second=10)
    logits = torch.randn(1, 3, 20, generator=torch.Generator().manual_seed(6))
    labels = timed([ATOM, 10, 1], [4, 23, 23], [14, 2, 3])
    soft = token_losses(logits, labels, table, 0.005)
    assert torch.allclose(soft, token_losses(logits, labels, table, 0.0), atol=1e-4)


def test_bfloat16_logits_give_finite_losses() -> None:
    table = TimeTable(atoms=tuple(range(10, 20)), figures=tuple(range(10)), steps_per_second=10)
    logits = torch.randn(1, 3, 20, generator=torch.Generator().manual_seed(7)).bfloat16()
    labels = timed([ATOM, 10, 1], [4, 23, 23], [14, 2, 3])
    assert torch.isfinite(token_losses(logits, labels, table, 0.08)).all()


def test_soft_times_of_merged_digits_are_refused() -> None:
    labels = timed([MERGED_DIGITS], [23], [7])
    require_soft_times(labels, AnswerConfig())
    with pytest.raises(ConfigurationError, match="several digits"):
        require_soft_times(labels, AnswerConfig(time_sigma=0.1))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"learned": ()}, "learned must be of"),
        ({"learned": ("text",)}, "learned must be of"),
        ({"mask": "some"}, "mask must be"),
        ({"mask_floor": -1.0}, "mask_floor"),
        ({"time_sigma": math.inf}, "time_sigma"),
    ],
)
def test_wrong_options_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        AnswerConfig(**wrong)  # type: ignore[arg-type]
