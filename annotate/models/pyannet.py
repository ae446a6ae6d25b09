"""Our segmentation model as a model of pyannote.audio, for its pipelines and its training tasks.

The weights are the same (`talkover.annotate.models.window_net` says what differs from PyanNet, and
why). Importing this file imports pyannote.audio, which takes ten seconds.
"""

from __future__ import annotations

import os
import warnings
from pathlib import Path

from talkover.annotate.models.files import load_weights, read_description
from talkover.annotate.models.window_net import (
    AT_ONCE,
    NUM_SPEAKERS,
    MelFront,
    WindowNetConfig,
)
from talkover.manifests.torchaudio_guard import guard_torchaudio

os.environ["PYANNOTE_METRICS_ENABLED"] = "0"  # read when it is imported
guard_torchaudio()
with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # about torchcodec, which nothing here needs
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.segmentation import PyanNet


class MelPyanNet(PyanNet):
    """pyannote's PyanNet with our front.

    Args:
        config: Sizes.
    """

    def __init__(self, config: WindowNetConfig) -> None:
        """Build PyanNet, put the front in, say what it is for."""
        lstm = {"hidden_size": config.lstm_size, "num_layers": config.lstm_layers}
        linear = {"hidden_size": config.linear_size, "num_layers": config.linear_layers}
        super().__init__(lstm=lstm, linear=linear)
        self.sincnet = MelFront(config.channels)  # type: ignore[assignment]  # in its place
        self.specifications = Specifications(
            problem=Problem.MONO_LABEL_CLASSIFICATION,
            resolution=Resolution.FRAME,
            duration=config.window_s,
            classes=[f"speaker{number + 1}" for number in range(NUM_SPEAKERS)],
            powerset_max_classes=AT_ONCE,
            permutation_invariant=True,
        )
        self.build()  # type: ignore[no-untyped-call]


def load_for_pyannote(folder: Path | None = None) -> MelPyanNet:
    """Trained weights in pyannote's class.

    Args:
        folder: Of the weights; None for those that come with talkover.

    Raises:
        ConfigurationError: If the folder holds no such model.
    """
    description = read_description(folder, "segmentation")
    network = MelPyanNet(WindowNetConfig(**description.hyper_parameters))  # type: ignore[arg-type]
    load_weights(network, folder, description)
    return network.eval()
