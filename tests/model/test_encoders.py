"""Features and encoders: known numbers of frames, and rows that ignore their batch."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders import (
    ENCODERS,
    EncoderConfig,
    build_encoder,
    load_encoder,
    pooled,
    resolved_encoder,
)
from talkover.model.encoders.chunks import chunk_statistics
from talkover.model.encoders.layers import WhisperAttention
from talkover.model.features import FeatureConfig, LogMel, MaskConfig, spec_augment
from talkover.model.projectors import stack

BANDS = 16
SMALL = {
    "conv_transformer": {"width": 16, "channels": [2, 4], "layers": 2, "heads": 2, "taps": [0]},
    "tdnn": {"width": 16, "strides": [2, 2], "dilations": [1, 3], "layers": 1, "heads": 2},
    "chunks": {"width": 16, "channels": 16, "dilations": [1]},
    "conv_stem": {
        "width": 16,
        "channels": 4,
        "layers": 3,
        "heads": 2,
        "inner": 16,
        "window": 4,
        "taps": [0],
    },
    "sanm": {
        "width": 16,
        "layers": 2,
        "later_layers": 1,
        "heads": 2,
        "inner": 16,
        "kernel": 3,
        "join_middle": False,
    },
    "zipformer": {
        "factors": [1, 2],
        "widths": [16, 24],
        "inner": [16, 16],
        "layers": [1, 2],
        "heads": [2, 2],
        "kernels": [5, 3],
        "query_width": 4,
        "value_width": 4,
        "code_width": 8,
    },
    "vectors": {"width": BANDS, "rate": 50.0},
    "whisper": {
        "width": 16,
        "layers": 2,
        "heads": 2,
        "inner": 16,
        "positions": 20,
        "filling": "mask",
        "taps": [0],
    },
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


@pytest.mark.parametrize("kind", sorted(set(ENCODERS) - {"embedding"}))
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
        assert together.taps or kind == "zipformer"
        assert all(tap.shape == together.hidden.shape for tap in together.taps)
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


@pytest.fixture(scope="module")
def whisper_folder(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A small random Whisper checkpoint with windows of 0.4 s."""
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
    folder = tmp_path_factory.mktemp("whisper")
    whisper.save_pretrained(folder)
    return folder, whisper.model.encoder


def from_folder(kind: str, folder: Path, bands: int = BANDS, **options: object) -> Any:
    config = EncoderConfig(kind=kind, options={"path": str(folder), **options})
    resolved = resolved_encoder(config)
    encoder = build_encoder(resolved, bands, 100.0).eval()
    load_encoder(encoder, resolved)
    return encoder


@pytest.mark.parametrize("kind", ["hf", "whisper"])
def test_whisper_encoders_are_those_of_the_folder(
    kind: str, whisper_folder: tuple[Path, Any]
) -> None:
    folder, theirs = whisper_folder
    encoder = from_folder(kind, folder, taps=[0])
    features = torch.randn(1, 40, BANDS)
    with torch.inference_mode():
        mine = encoder(features, torch.tensor([40]))
        wanted = theirs(features.transpose(1, 2), output_hidden_states=True)
    torch.testing.assert_close(mine.hidden, wanted.last_hidden_state, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(mine.taps[0], wanted.hidden_states[1], atol=1e-5, rtol=1e-4)
    with pytest.raises(ConfigurationError, match="num_mels must be 16"):
        from_folder(kind, folder, bands=80)


def test_both_whisper_encoders_join_windows_alike(whisper_folder: tuple[Path, Any]) -> None:
    folder, _ = whisper_folder
    features, lengths = torch.randn(2, 95, BANDS), torch.tensor([95, 33])
    with torch.inference_mode():
        first = from_folder("hf", folder)(features, lengths)
        second = from_folder("whisper", folder)(features, lengths)
        masked = from_folder("whisper", folder, filling="mask")(features, lengths)
    torch.testing.assert_close(first.hidden, second.hidden, atol=1e-5, rtol=1e-4)
    # Whole windows hear the same; what stands behind the audio makes a difference only in the last.
    torch.testing.assert_close(masked.hidden[0, :40], second.hidden[0, :40], atol=1e-5, rtol=1e-4)
    assert (masked.hidden[0, 40:48] - second.hidden[0, 40:48]).abs().max() > 1e-3


def test_an_encoder_of_samples_loads_from_a_local_folder(tmp_path: Path) -> None:
    from transformers import Wav2Vec2Config, Wav2Vec2Model

    torch.manual_seed(0)
    theirs = Wav2Vec2Model(
        Wav2Vec2Config(
            hidden_size=16,
            num_hidden_layers=2,
            num_attention_heads=2,
            intermediate_size=16,
            conv_dim=[8] * 7,
            num_conv_pos_embeddings=8,
            num_conv_pos_embedding_groups=2,
        )
    ).eval()
    theirs.save_pretrained(tmp_path)
    encoder = from_folder("hf", tmp_path, taps=[0])
    assert (encoder.hears, encoder.rate_hz) == ("audio", 50.0)
    samples = 0.1 * torch.randn(2, 16000)
    lengths = torch.tensor([100, 37])  # feature frames
    with torch.inference_mode():
        mine = encoder(samples, lengths)
        row = samples[1, :5920]
        normal = (row - row.mean()) / (row.var(correction=0) + 1e-5).sqrt()
        wanted = theirs(normal[None]).last_hidden_state[0]
        short = encoder(samples, torch.tensor([1, 1]))
    assert mine.lengths.tolist() == [encoder.num_frames(100), encoder.num_frames(37)] == [49, 18]
    torch.testing.assert_close(mine.hidden[1, :18], wanted, atol=1e-5, rtol=1e-4)
    assert not mine.hidden[1, 18:].any()
    assert mine.taps[0].shape == mine.hidden.shape
    assert short.hidden.shape == (2, 1, 16)


def test_folders_that_hold_no_encoder_are_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no model of Hugging Face"):
        from_folder("whisper", tmp_path / "absent")
    (tmp_path / "config.json").write_text('{"model_type": "bert"}')
    with pytest.raises(ConfigurationError, match="holds a bert model"):
        from_folder("hf", tmp_path)
    (tmp_path / "config.json").write_text('{"model_type": "whisper", "num_mel_bins": 16}')
    with pytest.raises(ConfigurationError, match="no encoder weights"):
        from_folder("whisper", tmp_path)


@pytest.mark.skipif(
    find_spec("pyannote") is None or find_spec("pyannote.audio") is None,
    reason="pyannote.audio is of the extra annotate",
)
def test_a_speaker_embedding_is_read_from_a_local_folder(tmp_path: Path) -> None:
    from safetensors.torch import save_file

    torch.manual_seed(0)
    options = {"path": str(tmp_path), "window": 0.5, "rate": 2.0}
    config = EncoderConfig(kind="embedding", options=options)
    first = build_encoder(config, BANDS, 100.0)
    (tmp_path / "pytorch_model.bin").write_bytes(b"not read")
    with pytest.raises(ConfigurationError, match=r"a \.bin or \.ckpt is not read"):
        load_encoder(first, config)
    save_file(first.network.state_dict(), tmp_path / "model.safetensors")
    torch.manual_seed(1)
    second = build_encoder(config, BANDS, 100.0)
    load_encoder(second, config)
    second.train()
    samples, lengths = 0.1 * torch.randn(2, 16000), torch.tensor([100, 40])
    found = second(samples, lengths)
    assert (second.hears, second.rate_hz, second.width) == ("audio", 2.0, 256)
    assert found.lengths.tolist() == [2, 1] == [second.num_frames(n) for n in (100, 40)]
    first.eval()
    with torch.inference_mode():
        wanted = first.network(samples[:1, None, 0:8000])  # around the frame at 0.25 s
        alone = first(samples[1:, :6400], lengths[1:])
    torch.testing.assert_close(found.hidden[0, :1], wanted, atol=1e-4, rtol=1e-3)
    torch.testing.assert_close(found.hidden[1, :1], alone.hidden[0], atol=1e-4, rtol=1e-3)
    assert not found.hidden[1, 1:].any() and not found.hidden.requires_grad
    save_file({"other": torch.zeros(1)}, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match="not WeSpeaker's ResNet34"):
        load_encoder(second, config)


def full_attention(attention: WhisperAttention, hidden: torch.Tensor, half: int) -> torch.Tensor:
    """Attention within ``half`` frames, one frame at a time."""
    query, key, value = (
        part(hidden[0]).view(-1, attention.heads, hidden.shape[2] // attention.heads)
        for part in (attention.q_proj, attention.k_proj, attention.v_proj)
    )
    rows = []
    for place in range(hidden.shape[1]):
        near = slice(max(0, place - half), place + half + 1)
        scores = torch.einsum("ad,tad->at", query[place], key[near]) / key.shape[2] ** 0.5
        rows.append(torch.einsum("at,tad->ad", scores.softmax(-1), value[near]).flatten())
    return attention.out_proj(torch.stack(rows))[None]


@given(frames=st.integers(1, 40), window=st.integers(2, 12))
@settings(deadline=None, max_examples=40)
def test_a_window_of_attention_is_exactly_that(frames: int, window: int) -> None:
    torch.manual_seed(frames * 100 + window)
    attention = WhisperAttention(8, 2, window).eval()
    hidden = torch.randn(1, frames, 8)
    mask = torch.ones(1, frames, dtype=torch.bool)
    with torch.inference_mode():
        found = attention(hidden, mask)
        wanted = full_attention(attention, hidden, window // 2)
    torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-4)


def test_rates_are_those_of_the_published_encoders() -> None:
    rates = {
        kind: build_encoder(EncoderConfig(kind=kind, options=SMALL[kind]), BANDS, 100.0).rate_hz
        for kind in ("whisper", "hf", "conv_stem", "sanm", "chunks")
    }
    sixty_ms = pytest.approx(1 / 0.06)
    wanted = {"whisper": 50, "hf": 50, "conv_stem": 12.5, "sanm": sixty_ms, "chunks": sixty_ms}
    assert rates == wanted


def test_frames_are_stacked_around_every_sixth() -> None:
    encoder = build_encoder(EncoderConfig(kind="sanm", options=SMALL["sanm"]), 1, 100.0)
    features = torch.arange(20.0)[None, :, None]
    stacked, lengths = encoder._stack(features, torch.tensor([20]))
    assert lengths.tolist() == [4]
    assert stacked[0, 0].tolist() == [0, 0, 0, 0, 1, 2, 3]
    assert stacked[0, 1].tolist() == [3, 4, 5, 6, 7, 8, 9]
    assert stacked[0, 3].tolist() == [15, 16, 17, 18, 19, 19, 19]


def test_the_middle_of_a_sanm_encoder_stands_beside_its_end() -> None:
    torch.manual_seed(0)
    options = {**SMALL["sanm"], "join_middle": True}
    encoder = build_encoder(EncoderConfig(kind="sanm", options=options), BANDS, 100.0).eval()
    with torch.inference_mode():
        encoded = encoder(torch.randn(1, 60, BANDS), torch.tensor([60]))
    assert encoder.width == 32 and encoder.tap_width == 16
    torch.testing.assert_close(encoded.hidden[..., 16:], encoded.taps[0])


def test_chunks_hold_one_vector_over_their_time() -> None:
    torch.manual_seed(0)
    options = {**SMALL["chunks"], "chunks": [0.24]}
    encoder = build_encoder(EncoderConfig(kind="chunks", options=options), BANDS, 100.0).eval()
    with torch.inference_mode():
        hidden = encoder(torch.randn(1, 72, BANDS), torch.tensor([72])).hidden[0]
    assert len(hidden) == 12  # 60 ms each, so four to a chunk of 240 ms
    for first in (0, 4, 8):
        assert (hidden[first : first + 4] == hidden[first]).all()
    assert not torch.equal(hidden[0], hidden[4])


def test_pooling_over_chunks_leaves_padding_out() -> None:
    hidden = torch.tensor([[[1.0], [3.0], [5.0], [0.0]]])
    mask = torch.tensor([[True, True, True, False]])
    found = chunk_statistics(hidden, mask, 2)
    assert found[0, 0].tolist() == pytest.approx([2.0, 1.0])
    assert found[0, 1, 0].item() == 5.0


def test_given_vectors_are_checked() -> None:
    encoder = build_encoder(EncoderConfig(kind="vectors", options=SMALL["vectors"]), 80, 100.0)
    assert encoder.hears == "vectors"
    with pytest.raises(ConfigurationError, match="width 16 in the batch, got none"):
        encoder(None, torch.tensor([100]))
    with pytest.raises(ConfigurationError, match="width 3"):
        encoder(torch.randn(1, 50, 3), torch.tensor([100]))
    with pytest.raises(ConfigurationError, match="has 49 vectors, the audio needs 50"):
        encoder(torch.randn(1, 49, 16), torch.tensor([100]))


def test_an_unknown_encoder_or_option_is_named() -> None:
    with pytest.raises(ConfigurationError, match="no encoder 'conformer'"):
        build_encoder(EncoderConfig(kind="conformer"), BANDS, 100.0)
    with pytest.raises(ConfigurationError, match=r"encoder tdnn\.depth: no such setting"):
        build_encoder(EncoderConfig(kind="tdnn", options={"depth": 3}), BANDS, 100.0)


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
