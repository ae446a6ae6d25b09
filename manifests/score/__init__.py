"""Every metric and normaliser of talkover: how good a transcription with speakers and times is.

`score` takes two sides in memory, `score_files` two files of any readable format.
"""

from talkover.manifests.score.evaluate import Labels, compare, score
from talkover.manifests.score.files import score_files
from talkover.manifests.score.normalize import Normalizer, get_normalizer
from talkover.manifests.score.page import to_html
from talkover.manifests.score.registry import METRICS, Metric
from talkover.manifests.score.report import to_json, to_markdown
from talkover.manifests.score.result import ScoreResult
from talkover.manifests.score.sides import Side, make_side
from talkover.manifests.score.tally import Tally

__all__ = [
    "METRICS",
    "Labels",
    "Metric",
    "Normalizer",
    "ScoreResult",
    "Side",
    "Tally",
    "compare",
    "get_normalizer",
    "make_side",
    "score",
    "score_files",
    "to_html",
    "to_json",
    "to_markdown",
]
