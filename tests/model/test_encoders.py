"""Features, encoders and projectors: known numbers of frames, and rows that ignore their batch."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders import ENCODERS, EncoderConfig, build_encoder, pooled
from talkover.model.features import FeatureConfig, LogMel, MaskConfig, spec_augment
from talkover.model.fusion import StreamFusion, check_rates
from talkover.model.projectors import PROJECTORS, Projector, ProjectorConfig, stack

BANDS = 16
SMALL = {
    "conv_transformer": {"width": 16, "channels": [2, 4], "layers": 2, "heads": 2, "taps": [0]},
    "tdnn": {"width": 16, "strides": [2, 2], "dilations": [1, 3], "layers": 1, "heads": 2},
    "hf": {
        "config": {
            "d_model": 16,
            "encoder_layers": 2,
            "encoder_attention_heads": 2,
            "encoder_ffn_dim": 16,
            "num_mel_bins": BANDS,
            "max_source_positions": 20,
        },
        "taps": [0],
    },
}


def audio(*lengths: int) -> tuple[torch.Tensor, torch.Tensor]:
    rng = np.random.default_rng(0)
    rows = torch.zeros(len(lengths), max(lengths))
    for row, length in enumerate(lengths):
        rows[row, :length] = torch.from_numpy(rng.standard_normal(length).astype(np.float32))
    return rows, torch.tensor(lengths)


@pytest.mark.parametrize("normalization", ["mean", "whisper", "none"])
def test_features_of_a_row_do_not_depend_on_the_batch(normalization: str) -> None:
    features = LogMel(FeatureConfig(num_mels=BANDS, normalization=normalization))  # type: ignore[arg-type]
    rows, lengths = audio(4000, 9000, 170)
    rows[0, 4000:] = 9.0  # what lies beyond a row's length does not count
    together, counts = features(rows, lengths)
    assert counts.tolist() == [features.config.num_frames(n) for n in lengths.tolist()]
    for row, length in enumerate(lengths.tolist()):
        alone, _ = features(rows[row : row + 1, :length], lengths[row : row + 1])
        torch.testing.assert_close(together[row, : counts[row]], alone[0], atol=2e-5, rtol=1e-5)
        assert not together[row, counts[row] :].any()


def test_a_tone_is_loudest_in_its_band() -> None:
    config = FeatureConfig(num_mels=40, normalization="none")
    time = torch.arange(16000) / 16000
    tone = torch.sin(2 * torch.pi * 1000 * time)[None]
    frames, _ = LogMel(config)(tone, torch.tensor([16000]))
    low, _ = LogMel(config)(torch.sin(2 * torch.pi * 300 * time)[None], torch.tensor([16000]))
    assert int(frames[0, 50].argmax()) > int(low[0, 50].argmax())
    assert float(frames[0, 50].max() - frames[0, 50].min()) > 2  # 20 dB


def test_whisper_features_are_those_of_transformers() -> None:
    from transformers import WhisperFeatureExtractor

    rows, lengths = audio(16000)
    config = FeatureConfig(normalization="whisper")
    mine, _ = LogMel(config)(0.1 * rows, lengths)
    extractor = WhisperFeatureExtractor(chunk_length=1)
    theirs = extractor((0.1 * rows[0]).numpy(), sampling_rate=16000, return_tensors="pt")
    wanted = theirs["input_features"][0].T
    torch.testing.assert_close(mine[0, 3:97], wanted[3:97], atol=1e-3, rtol=1e-3)  # edges reflect


@pytest.mark.parametrize("kind", sorted(ENCODERS))
def test_an_encoder_gives_the_frames_that_it_promised_for_every_row(kind: str) -> None:
    torch.manual_seed(0)
    encoder = build_encoder(EncoderConfig(kind=kind, options=SMALL[kind]), BANDS, 100.0).eval()
    lengths = [57, 100, 3]
    features = torch.zeros(3, 100, BANDS)
    for row, length in enumerate(lengths):
        features[row, :length] = torch.randn(length, BANDS)
    with torch.inference_mode():
        together = encoder(features, torch.tensor(lengths))
        assert together.lengths.tolist() == [encoder.num_frames(n) for n in lengths]
        assert together.hidden.shape == (3, max(together.lengths), encoder.width)
        assert together.taps and all(tap.shape == together.hidden.shape for tap in together.taps)
        for row, length in enumerate(lengths):
            alone = encoder(features[row : row + 1, :length], torch.tensor([length]))
            count = encoder.num_frames(length)
            torch.testing.assert_close(
                together.hidden[row, :count], alone.hidden[0], atol=1e-5, rtol=1e-4
            )
            assert not together.hidden[row, count:].any()


def test_windows_of_an_hf_encoder_lose_no_frame() -> None:
    encoder = build_encoder(EncoderConfig(kind="hf", options=SMALL["hf"]), BANDS, 100.0).eval()
    # 95 feature frames are 48 frames: two windows of 20 and 8 of a third. Merging by 4 over what
    # is joined gives 12 vectors; window by window (20 // 4) + (20 // 4) + (8 // 4) also 12, but for
    # 94 feature frames (47) it would drop 3.
    assert [encoder.num_frames(n) for n in (40, 41, 94, 95)] == [20, 21, 47, 48]
    hidden = encoder(torch.randn(1, 94, BANDS), torch.tensor([94])).hidden
    assert stack(hidden, 4).shape[1] == 12


def test_an_hf_encoder_loads_weights_of_a_local_folder(tmp_path: Path) -> None:
    from transformers import WhisperConfig, WhisperForConditionalGeneration

    config = WhisperConfig(
        **SMALL["hf"]["config"],  # type: ignore[arg-type]
        decoder_layers=1,
        decoder_attention_heads=2,
        decoder_ffn_dim=16,
        vocab_size=64,
        pad_token_id=0,
        bos_token_id=1,
        eos_token_id=2,
        decoder_start_token_id=1,
    )
    torch.manual_seed(0)
    whisper = WhisperForConditionalGeneration(config).eval()
    whisper.save_pretrained(tmp_path)
    options = {"path": str(tmp_path)}
    encoder = build_encoder(EncoderConfig(kind="hf", options=options), BANDS, 100.0).eval()
    features = torch.randn(1, 40, BANDS)
    with torch.inference_mode():
        mine = encoder(features, torch.tensor([40])).hidden
        theirs = whisper.model.encoder(features.transpose(1, 2)).last_hidden_state
    torch.testing.assert_close(mine, theirs)
    with pytest.raises(ConfigurationError, match="num_mels must be 16"):
        build_encoder(EncoderConfig(kind="hf", options=options), 80, 100.0)


def test_an_unknown_encoder_or_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no encoder 'zipformer'"):
        build_encoder(EncoderConfig(kind="zipformer"), BANDS, 100.0)
    with pytest.raises(ConfigurationError, match=r"encoder tdnn\.depth: no such setting"):
        build_encoder(EncoderConfig(kind="tdnn", options={"depth": 3}), BANDS, 100.0)


@given(frames=st.integers(1, 30), merge=st.integers(1, 5))
def test_merging_keeps_every_frame(frames: int, merge: int) -> None:
    hidden = torch.arange(1.0, frames + 1)[None, :, None]
    stacked = stack(hidden, merge)
    assert stacked.shape == (1, -(-frames // merge), merge)
    assert stacked.flatten()[:frames].tolist() == hidden.flatten().tolist()


@pytest.mark.parametrize("kind", sorted(PROJECTORS))
def test_a_projector_begins_as_loud_as_text(kind: str) -> None:
    torch.manual_seed(0)
    projector = Projector(8, 12, ProjectorConfig(kind=kind, merge=3))
    projector.start_at_loudness(0.02)
    vectors = projector(torch.randn(2, 10, 8) * 50)
    assert vectors.shape == (2, projector.num_vectors(10), 12)
    assert float(vectors.detach().square().mean().sqrt()) == pytest.approx(0.02, rel=0.05)


def test_masks_hide_no_more_than_they_may() -> None:
    config = MaskConfig(frequency_masks=1, frequency_width=4, time_masks=1, time_width=0.1)
    generator = torch.Generator().manual_seed(0)
    features = torch.ones(50, 60, 20)
    masked = spec_augment(features, config, 100.0, generator)
    hidden_bands = (masked.sum(1) == 0).sum(1)
    hidden_frames = (masked.sum(2) == 0).sum(1)
    assert int(hidden_bands.max()) <= 4 and int(hidden_frames.max()) <= 10
    assert int(hidden_bands.max()) > 1 and int(hidden_frames.max()) > 1
    assert set(masked.unique().tolist()) == {0.0, 1.0}


def test_pooling_weighs_frames_and_is_zero_without_any() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [100.0]]])
    weights = torch.tensor([[[1.0, 1.0, 0.0], [0.0, 0.0, 0.0]]])
    found = pooled(hidden, weights)
    assert found[0, 0].tolist() == pytest.approx([2.0, 1.0])
    assert found[0, 1].tolist() == [0.0, 0.0]


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
