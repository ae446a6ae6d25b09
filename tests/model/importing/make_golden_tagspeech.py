"""Makes golden_tagspeech.npz with the published code of TagSpeech.

Repository: https://github.com/AudenAI/Auden
Commit: 2f78687c446a946ff09e2ffd4335125b82baec32
With: transformers 4.57.1 (the code imports what later versions no longer have). k2 is asked for
two activations alone; where it is not installed, the published code's own formulas of these two
(``SwooshLForward``, ``SwooshRForward``) stand in for it.

Run: python make_golden_tagspeech.py CHECKOUT [OUT.npz]

The weights are small, random and seeded; they are stored with the results (as float16), under their
published names. The stem's channels are not an option, so the mel bands are few instead.
"""

from __future__ import annotations

import json
import sys
from importlib import import_module
from importlib.machinery import ModuleSpec
from importlib.util import find_spec
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from tokenizers import Tokenizer
from transformers import PreTrainedTokenizerFast

ZIPFORMER = {
    "model_type": "zipformer",
    "feature_dim": 16,
    "num_encoder_layers": [1, 2, 1],
    "downsampling_factor": [1, 2, 4],
    "encoder_dim": [16, 32, 24],
    "encoder_unmasked_dim": [16, 16, 16],
    "feedforward_dim": [16, 24, 16],
    "num_heads": [2, 4, 2],
    "query_head_dim": [4],
    "value_head_dim": [4],
    "pos_head_dim": [2],
    "pos_dim": 8,
    "cnn_module_kernel": [7, 5, 5],
}
LLM = {
    "model_type": "qwen2",
    "hidden_size": 24,
    "intermediate_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "max_position_embeddings": 512,
    "tie_word_embeddings": False,
}
SEED = 7
FRAMES = 407
GRID = 64.0
"""Weights are multiples of 1 / GRID, so that the file is small."""
AUDIO = "<|AUDIO|>"


def _stand_in_for_k2() -> None:
    if find_spec("k2") is not None:
        return
    k2: Any = ModuleType("k2")
    k2.__spec__ = ModuleSpec("k2", None)

    def formula(name: str) -> Any:
        def call(values: torch.Tensor) -> torch.Tensor:
            from auden.models.zipformer.utils import scaling

            return getattr(scaling, name)(values)

        return call

    k2.swoosh_l = k2.swoosh_l_forward = formula("SwooshLForward")
    k2.swoosh_r = k2.swoosh_r_forward = formula("SwooshRForward")
    sys.modules["k2"] = k2


def make(checkout: Path, out: Path) -> None:
    """Run the published model and store what it says."""
    _stand_in_for_k2()
    sys.path[:0] = [str(checkout / "src"), str(checkout / "examples" / "tagspeech")]
    published: Any = import_module("model")
    settings_of: Any = import_module("model_config")

    tokenizer_file = Path(__file__).with_name("qwen_like.json")
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(tokenizer_file)),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )
    llm = {**LLM, "vocab_size": len(tokenizer)}
    config = settings_of.TagSpeechConfig(
        audio_encoder_config=ZIPFORMER,
        voice_encoder_config=dict(ZIPFORMER),
        llm_config=llm,
        audio_token=AUDIO,
    )
    torch.manual_seed(SEED)
    digits = {"embeddings": torch.zeros(10, LLM["hidden_size"]), "tokens": list("0123456789")}
    model = published.TagSpeechModel(config, tokenizer, digits).eval().float()
    with torch.no_grad():
        for name, weight in model.named_parameters():
            # The code leaves the language model's weights as they lie in memory.
            begin = weight if "llm." not in name else torch.full_like(weight, "norm" in name)
            weight.copy_(((begin + 0.1 * torch.randn_like(weight)) * GRID).round() / GRID)
        ids = tokenizer.convert_tokens_to_ids(digits["tokens"])
        model._digit_embeddings.copy_(model.llm.get_input_embeddings().weight[ids])
    features = torch.randn(1, FRAMES, ZIPFORMER["feature_dim"]).half().float()
    lengths = torch.tensor([FRAMES])
    message = [{"role": "user", "content": f"<text>{AUDIO}</text>\n<speaker>{AUDIO}</speaker>"}]
    with torch.no_grad():
        encoded = [e(features, lengths) for e in (model.audio_encoder, model.voice_encoder)]
        projectors = (model.semantic_projector, model.voice_projector)
        projected = [p(e["encoder_out"]) for p, e in zip(projectors, encoded, strict=True)]
        found = model.forward_audio_features(features, lengths)
        ids, embedded, mask, _ = model.preprocess_text_and_audio(
            [message], audio_features=found, max_length=None, is_training=False
        )
        logits = model.llm(inputs_embeds=embedded, attention_mask=mask).logits
    weights = {f"weight:{k}": v.half().numpy() for k, v in model.state_dict().items()}
    settings = {
        "model_type": "tagspeech",
        "audio_encoder_config": ZIPFORMER,
        "voice_encoder_config": ZIPFORMER,
        "llm_config": llm,
    }
    np.savez_compressed(
        out,
        settings=json.dumps(settings),
        features=features[0].numpy(),
        semantic=encoded[0]["encoder_out"][0].numpy(),
        voice=encoded[1]["encoder_out"][0].numpy(),
        semantic_projected=projected[0][0].numpy(),
        voice_projected=projected[1][0].numpy(),
        ids=ids[0].numpy(),
        embedded=embedded[0].numpy(),
        logits=logits[0].numpy(),
        **weights,
    )


if __name__ == "__main__":
    here = Path(__file__).with_name("golden_tagspeech.npz")
    make(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) > 2 else here)
