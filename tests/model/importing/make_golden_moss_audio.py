"""Makes golden_moss_audio.npz with the published code of MOSS-Audio.

Repository: https://github.com/OpenMOSS/MOSS-Audio
Commit: 2c9984ba42f5d51c505546c97239983b09e5ebf4
With: transformers 4.57.1, as that repository asks for (its encoder layers return tuples; those of
transformers 5 do not).

Run: python make_golden_moss_audio.py CHECKOUT [OUT.npz]

The weights are small, random and seeded; they are stored with the results (float16 values held in
float32, so that the file is small), under their published names.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch

AUDIO = {
    "d_model": 16,
    "output_dim": 16,
    "num_mel_bins": 128,
    "encoder_layers": 5,
    "encoder_attention_heads": 2,
    "encoder_ffn_dim": 24,
    "downsample_hidden_size": 4,
    "deepstack_encoder_layer_indexes": [1, 2, 3],
}
LANGUAGE = {
    "model_type": "qwen3",
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "vocab_size": 320,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
ADAPTER = 20
SEED = 6
SECONDS = 4.47
RATE = 16000
VECTORS_PER_MARKER = 25


def make(checkout: Path, out: Path) -> None:
    """Run the published model and store what it says."""
    sys.path.insert(0, str(checkout))
    from src.configuration_moss_audio import MossAudioConfig
    from src.modeling_moss_audio import MossAudioModel
    from transformers import WhisperFeatureExtractor

    torch.manual_seed(SEED)
    config = MossAudioConfig(
        audio_config=AUDIO, language_config=LANGUAGE, adapter_hidden_size=ADAPTER
    )
    config.language_config._attn_implementation = "eager"
    model = MossAudioModel(config).eval()
    with torch.no_grad():
        for weight in model.parameters():
            weight.copy_((weight + 0.1 * torch.randn_like(weight)).half().float())
    rng = np.random.default_rng(SEED)
    audio = (0.1 * rng.standard_normal(round(SECONDS * RATE))).astype(np.float16)
    extractor = WhisperFeatureExtractor(feature_size=128)
    mels = extractor._np_extract_fbank_features(audio.astype(np.float32)[None], device="cpu")
    mel = torch.from_numpy(np.asarray(mels)).float()
    lengths = torch.tensor([mel.shape[-1]])
    with torch.no_grad():
        encoded, taps = model.get_audio_features(mel, lengths)
        adapted = model.audio_adapter(encoded)
        merged = [m(t) for m, t in zip(model.deepstack_audio_merger_list, taps, strict=True)]
        ids = rng.integers(0, LANGUAGE["vocab_size"], size=adapted.shape[1] + 30)
        mask = np.zeros(len(ids), dtype=bool)
        mask[5 : 5 + VECTORS_PER_MARKER] = True  # a marker between two runs of vectors
        mask[7 + VECTORS_PER_MARKER : 7 + adapted.shape[1]] = True
        assert mask.sum() == adapted.shape[1]
        logits = model(
            input_ids=torch.from_numpy(ids)[None],
            audio_data=mel,
            audio_data_seqlens=lengths,
            audio_input_mask=torch.from_numpy(mask)[None],
            return_dict=True,
            use_cache=False,
        ).logits
    weights = {f"weight:{k}": v.half().numpy() for k, v in model.state_dict().items()}
    settings = {
        "model_type": "moss_audio",
        "audio_config": AUDIO,
        "language_config": LANGUAGE,
        "adapter_hidden_size": ADAPTER,
    }
    np.savez_compressed(
        out,
        settings=json.dumps(settings),
        audio=audio,
        mel=mel[0].numpy(),
        ids=ids,
        mask=mask,
        encoded=encoded[0].numpy(),
        taps=torch.cat(list(taps)).numpy(),
        adapted=adapted[0].numpy(),
        merged=torch.cat(merged).numpy(),
        logits=logits[0].numpy(),
        **weights,
    )


if __name__ == "__main__":
    here = Path(__file__).with_name("golden_moss_audio.npz")
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else here)
