"""DNSMOS: what listeners would say of a recording, by the network of speechmos, called directly.

Scores after ITU-T P.835, from 1 to 5: of the speech, of the background and of the whole (Reddy et
al. 2022). The package around the network imports much that it does not declare, so the ONNX file is
read from where the package is installed, and the package is never imported.

Legend: ``T`` sample, ``W`` window.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.media import DecodedAudio
from talkover.manifests.errors import MissingExtraError

WINDOW = 144160
"""Samples that the network hears: 9.01 s."""
HOP_SECONDS = 4.0
"""Seconds between windows; one a second, as the package does, costs four times as much."""
SILENT_RMS = 1e-4
"""A window under this has no opinion: -80 dBFS."""
SIGNAL = (-0.08397278, 1.22083953, 0.0052439)
BACKGROUND = (-0.13166888, 1.60915514, -0.39604546)
OVERALL = (-0.06766283, 1.11546468, 0.04602535)
"""Polynomials from the network's raw scores to opinions, as published with it, highest power
first."""
SCORES = ("signal", "background", "overall")


def weights() -> Path | None:
    """The network's file in the installed package; None if there is none."""
    spec = importlib.util.find_spec("speechmos")
    if spec is None or spec.origin is None:
        return None
    path = Path(spec.origin).parent / "dnsmos_models" / "sig_bak_ovr.onnx"
    return path if path.is_file() else None


class Opinion:
    """The network, one numeric thread.

    Raises:
        MissingExtraError: If speechmos or onnxruntime is not installed.
    """

    def __init__(self) -> None:
        """Open the network."""
        path = weights()
        if path is None:
            raise MissingExtraError("speechmos", "annotate", "opinion scores")
        try:
            import onnxruntime
        except ImportError as error:
            raise MissingExtraError("onnxruntime", "annotate", "opinion scores") from error
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session: Any = onnxruntime.InferenceSession(
            str(path), options, providers=["CPUExecutionProvider"]
        )

    def scores(self, audio: DecodedAudio, hop: int) -> NDArray[np.float64]:
        """Scores every hop: signal, background, overall; ``[W, 3]``, NaN where it is silent.

        Args:
            audio: The recording; shorter ones than a window are repeated to fill it.
            hop: Samples from window to window.
        """
        count = 1 + max(0, -(-(audio.num_samples - WINDOW) // hop))
        result = np.full((count, len(SCORES)), np.nan)
        for number in range(count):
            # The last window ends with the recording.
            start = max(0, min(number * hop, audio.num_samples - WINDOW))
            samples = audio.read(start, min(start + WINDOW, audio.num_samples))
            if np.sqrt(np.mean(samples.astype(np.float64) ** 2)) >= SILENT_RMS:
                result[number] = self.of(np.resize(samples, WINDOW))
        return result

    def of(self, samples: NDArray[np.float32]) -> NDArray[np.float64]:
        """Scores of one window of `WINDOW` samples at 16 kHz; ``[3]``."""
        (raw,) = self._session.run(None, {"input_1": samples[None].astype(np.float32)})
        polynomials = (SIGNAL, BACKGROUND, OVERALL)
        values = [np.polyval(p, x) for p, x in zip(polynomials, raw[0].tolist(), strict=True)]
        return np.clip(values, 1.0, 5.0)
