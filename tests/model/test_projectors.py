"""Projectors and fusions: every frame counts, audio begins as loud as text."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders import mask_of
from talkover.model.fusion import StreamFusion, check_rates
from talkover.model.projectors import PROJECTORS, Projector, ProjectorConfig, stack


@given(frames=st.integers(1, 30), merge=st.integers(1, 5))
def test_merging_keeps_every_frame(frames: int, merge: int) -> None:
    hidden = torch.arange(1.0, frames + 1)[None, :, None]
    stacked = stack(hidden, merge)
    assert stacked.shape == (1, -(-frames // merge), merge)
    assert stacked.flatten()[:frames].tolist() == hidden.flatten().tolist()


@pytest.mark.parametrize("kind", sorted(PROJECTORS))
def test_a_projector_begins_as_loud_as_text(kind: str) -> None:
    torch.manual_seed(0)
    projector = Projector(8, 12, ProjectorConfig(kind=kind, merge=3, heads=2))
    projector.start_at_loudness(0.02)
    vectors = projector(torch.randn(2, 10, 8) * 50, torch.tensor([10, 10]))
    assert vectors.shape == (2, projector.num_vectors(10), 12)
    assert float(vectors.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=0.05)


def test_without_a_norm_a_projector_begins_quiet() -> None:
    torch.manual_seed(0)
    projector = Projector(8, 12, ProjectorConfig(kind="gated_mlp", norm=False))
    before = projector(torch.ones(1, 1, 8), torch.tensor([1])).detach()
    projector.start_at_loudness(0.02)
    after = projector(torch.ones(1, 1, 8), torch.tensor([1])).detach()
    torch.testing.assert_close(after, 0.02 * before)


@given(frames=st.integers(1, 20), merge=st.integers(1, 5), more=st.integers(0, 7))
@settings(deadline=None, max_examples=25)
@pytest.mark.parametrize("kind", sorted(PROJECTORS))
def test_a_row_is_projected_alone_as_in_a_batch(
    kind: str, frames: int, merge: int, more: int
) -> None:
    torch.manual_seed(0)
    projector = Projector(8, 12, ProjectorConfig(kind=kind, merge=merge, heads=2)).eval()
    lengths = torch.tensor([frames, frames + more])
    hidden = torch.randn(2, frames + more, 8) * mask_of(lengths, frames + more)[..., None]
    with torch.inference_mode():
        together = projector(hidden, lengths)
        alone = projector(hidden[:1, :frames], lengths[:1])
    count = projector.num_vectors(frames)
    assert together.shape[1] == projector.num_vectors(frames + more)
    torch.testing.assert_close(together[0, :count], alone[0], atol=1e-5, rtol=1e-4)


def test_an_unknown_projector_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no projector 'qformer'"):
        Projector(8, 12, ProjectorConfig(kind="qformer"))


def test_fusions_begin_as_a_sum_and_refuse_unequal_rates() -> None:
    semantic, speaker = torch.randn(1, 5, 4), torch.randn(1, 4, 4)
    for kind in ("add", "channel"):
        merged, rest = StreamFusion(kind, 4)(semantic, speaker)  # type: ignore[arg-type]
        assert rest is None and merged.shape == (1, 4, 4)
    summed, _ = StreamFusion("add", 4)(semantic, speaker)
    torch.testing.assert_close(summed, semantic[:, :4] + speaker)
    kept, own = StreamFusion("time", 4)(semantic, speaker)
    assert kept is semantic and own is speaker
    with pytest.raises(ConfigurationError, match=r"12\.5 Hz and the speaker stream 25 Hz"):
        check_rates("add", 12.5, 25.0)
