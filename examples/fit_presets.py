"""Make the turn-taking presets that come with talkover from their label files.

    python examples/fit_presets.py LABELS_FOLDER [OUT_FOLDER]

LABELS_FOLDER holds ami_train.rttm.gz, alimeeting_eval8.rttm.gz, aishell4_train18.rttm.gz and
voxconverse_dev.rttm.gz. The same labels give the same bytes.
"""

from __future__ import annotations

import sys
from pathlib import Path

from talkover.simulate.turn_fit import fit, with_pauses_of
from talkover.simulate.turns import PRESETS, TurnModel

HOURS = 200.0
"""Of timing in each round of the calibration, much more than a fit does by default."""

CORPORA: dict[str, dict[str, str]] = {
    "ami": {
        "file": "ami_train.rttm.gz",
        "source": "AMI Meeting Corpus, 136 training meetings, 'only words' speech regions",
        "licence": "CC-BY-4.0",
        "attribution": "AMI Meeting Corpus, manual annotations 1.6.2 (Carletta et al. 2005); "
        "regions by BUT Speech@FIT (AMI-diarization-setup, Apache-2.0)",
        "url": "https://groups.inf.ed.ac.uk/ami/corpus/",
    },
    "alimeeting": {
        "file": "alimeeting_eval8.rttm.gz",
        "source": "AliMeeting (M2MeT), Eval set, 8 Mandarin meetings",
        "licence": "CC-BY-SA-4.0",
        "attribution": "AliMeeting, Yu et al. 2022 (M2MeT); labels via BUTSpeechFIT/DiariZen",
        "url": "https://www.openslr.org/119/",
    },
    "aishell4": {
        "file": "aishell4_train18.rttm.gz",
        "source": "AISHELL-4, 18 training meetings (Mandarin)",
        "licence": "CC-BY-SA-4.0",
        "attribution": "AISHELL-4, Fu et al. 2021; labels via BUTSpeechFIT/DiariZen",
        "url": "https://www.openslr.org/111/",
    },
    "voxconverse": {
        "file": "voxconverse_dev.rttm.gz",
        "source": "VoxConverse 0.3, dev set, broadcast and web video",
        "licence": "CC-BY-4.0",
        "attribution": "VoxConverse, Chung et al. 2020 (github.com/joonson/voxconverse)",
        "url": "https://www.robots.ox.ac.uk/~vgg/data/voxconverse/",
    },
}


def main(labels: Path, out: Path) -> None:
    """Fit and write all presets."""
    models: dict[str, TurnModel] = {}
    for name, about in CORPORA.items():
        facts = {key: value for key, value in about.items() if key != "file"}
        models[name] = fit([labels / about["file"]], name=name, calibration_hours=HOURS, **facts)
    natural = with_pauses_of(models["ami"], models["alimeeting"])
    models["ami_natural_pauses"] = natural.model_copy(update={"name": "ami_natural_pauses"})
    out.mkdir(parents=True, exist_ok=True)
    for name, model in models.items():
        model.save(out / f"{name}.json")
        print(f"{name}: {len(model.text()) / 1000:.1f} kB, {model.origin.sessions} sessions")


if __name__ == "__main__":
    if len(sys.argv) not in (2, 3):
        raise SystemExit(__doc__)
    main(Path(sys.argv[1]), Path(sys.argv[2]) if len(sys.argv) == 3 else PRESETS["ami"].parent)
