"""Cards: two files from the manifests, the same bytes each time, and no licence out of thin air."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.card import CardOptions, LicenceConflict, write_card
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import write_sessions
from talkover.manifests.schema import Licences, Noise, Session

WORDS = [("so", 0, 4000), ("yes", 4800, 8000)]


def licensed(session: Session, *licences: str | None) -> Session:
    """The session with these licences on its supervisions, in turn."""
    rows = []
    for n, row in enumerate(session.supervisions):
        assert row.source is not None
        source = row.source.model_copy(update={"licence": licences[n % len(licences)]})
        rows.append(row.model_copy(update={"source": source}))
    spdx = tuple(sorted({name for name in licences if name}))
    return session.model_copy(
        update={
            "supervisions": tuple(rows),
            "licences": Licences(spdx=spdx, attribution=("Made by some",)),
        }
    )


@pytest.fixture
def sessions(make_session: Callable[..., Session]) -> list[Session]:
    """Two sessions of two speakers."""
    spoken = [("ana", 1600, WORDS, True), ("bo", 9000, WORDS, True)]
    return [make_session(spoken, id=name) for name in ("one", "two")]


def folder_of(path: Path, sessions: list[Session]) -> Path:
    path.mkdir(exist_ok=True)
    write_sessions(path / "cuts.jsonl", sessions)
    return path


def test_a_card_says_what_the_manifests_say(tmp_path: Path, sessions: list[Session]) -> None:
    folder = folder_of(tmp_path / "talks", [licensed(s, "CC-BY-4.0", "CC0-1.0") for s in sessions])
    card = write_card([folder], folder, CardOptions(creator="A. Person", date="2026-11-21"))
    assert card.licence.ids == ("CC-BY-4.0",)
    text = (folder / "README.md").read_text(encoding="utf8")
    assert "| sessions | 2 |" in text
    assert f"| hours | {20 / 3600:.3f} |" in text
    assert "| speakers | 2 |" in text
    assert "**CC-BY-4.0** covers the data set" in text
    assert "- Made by some" in text
    assert "| made-up |  | 2 | 2 | 0.001 | CC-BY-4.0, CC0-1.0 |" in text
    node = json.loads((folder / "croissant.json").read_text(encoding="utf8"))
    assert node["conformsTo"][0] == "http://mlcommons.org/croissant/1.1"
    assert node["license"] == ["https://spdx.org/licenses/CC-BY-4.0.html"]
    assert node["creditText"] == "Made by some"
    (source,) = node["prov:wasDerivedFrom"]
    assert source["sc:license"] == ["CC-BY-4.0", "CC0-1.0"]
    (made,) = node["prov:wasGeneratedBy"]
    assert sessions[0].provenance.configuration_hash in made["sc:description"]


@pytest.mark.medium
def test_mlcroissant_finds_no_fault_and_reads_the_records(produced: Path) -> None:
    mlcroissant = pytest.importorskip("mlcroissant", reason="mlcroissant is in the extra `audit`")
    options = CardOptions(creator="A. Person", date="2026-11-21", url="https://example.org/talks")
    write_card([produced], produced, options)
    data = mlcroissant.Dataset(produced / "croissant.json")
    issues = data.metadata.ctx.issues
    assert (issues.errors, issues.warnings) == (set(), set())
    assert str(data.metadata.ctx.conforms_to.value).endswith("/croissant/1.1")
    (record,) = list(data.records("sessions"))
    assert record["sessions/id"] == b"session-1"
    assert record["sessions/duration"] == 10.0
    assert record["sessions/num_speakers"] == 2
    assert record["sessions/audio"] == b"audio/session-1.wav"


def test_the_same_manifests_give_the_same_bytes(tmp_path: Path, sessions: list[Session]) -> None:
    folder = folder_of(tmp_path / "talks", [licensed(s, "CC-BY-4.0") for s in sessions])
    before = []
    for _ in range(2):
        write_card([folder], folder)
        before.append([(folder / n).read_bytes() for n in ("README.md", "croissant.json")])
    assert before[0] == before[1]


def test_a_mixture_of_licences_that_do_not_go_together_names_the_utterances(
    tmp_path: Path, sessions: list[Session]
) -> None:
    bad = licensed(sessions[1], "CC-BY-SA-4.0", "CC-BY-NC-4.0")
    folder = folder_of(tmp_path / "talks", [licensed(sessions[0], "CC-BY-4.0"), bad])
    with pytest.raises(LicenceConflict) as caught:
        write_card([folder], tmp_path / "card", CardOptions(collection=True))
    message = str(caught.value)
    assert "CC-BY-NC-4.0 and CC-BY-SA-4.0 do not go together" in message
    assert "utterance ana-0 of made-up" in message and "utterance bo-1 of made-up" in message
    assert "session two" in message and "session one" not in message
    rows = (tmp_path / "card" / "licence_conflicts.jsonl").read_text(encoding="utf8").splitlines()
    assert [json.loads(row)["licence"] for row in rows] == ["CC-BY-NC-4.0", "CC-BY-SA-4.0"]
    assert not (tmp_path / "card" / "README.md").exists()


def test_sessions_with_different_licences_need_to_be_a_collection(
    tmp_path: Path, sessions: list[Session]
) -> None:
    mixed = [licensed(sessions[0], "CC-BY-SA-4.0"), licensed(sessions[1], "CC-BY-NC-4.0")]
    folder = folder_of(tmp_path / "talks", mixed)
    with pytest.raises(LicenceConflict, match=r"one data set.*--collection"):
        write_card([folder], tmp_path / "card")
    card = write_card([folder], tmp_path / "card", CardOptions(collection=True))
    assert card.licence.ids == ("CC-BY-NC-4.0", "CC-BY-SA-4.0")
    assert not (tmp_path / "card" / "licence_conflicts.jsonl").exists()
    text = (tmp_path / "card" / "README.md").read_text(encoding="utf8")
    assert "CC-BY-NC-4.0: 1, CC-BY-SA-4.0: 1" in text


def test_no_derivatives_in_a_simulated_session_is_refused(
    tmp_path: Path, sessions: list[Session]
) -> None:
    folder = folder_of(tmp_path / "talks", [licensed(sessions[0], "CC-BY-ND-4.0", "CC0-1.0")])
    with pytest.raises(LicenceConflict, match=r"CC-BY-ND-4.0 allows no adaptation.*ana-0"):
        write_card([folder], tmp_path / "card")


@pytest.mark.parametrize("said", [None, "not stated", "LicenseRef-ask-us"])
def test_what_has_no_known_licence_must_be_accepted(
    tmp_path: Path, sessions: list[Session], said: str | None
) -> None:
    folder = folder_of(tmp_path / "talks", [licensed(sessions[0], said, "CC-BY-4.0")])
    with pytest.raises(
        LicenceConflict, match=r"not known for 1 uses: utterance ana-0.*session one"
    ):
        write_card([folder], tmp_path / "card")
    card = write_card([folder], tmp_path / "card", CardOptions(allow_unstated=True))
    assert (card.licence.ids, card.licence.unstated) == (("CC-BY-4.0",), 1)
    text = (tmp_path / "card" / "README.md").read_text(encoding="utf8")
    assert "The licence of 1 uses is not stated." in text


def test_recorded_noise_counts_and_computed_noise_does_not(
    tmp_path: Path, sessions: list[Session]
) -> None:
    def with_noise(kind: str, name: str = "n") -> Session:
        noise = Noise(
            id=name, kind=kind, snr_db_asked=10.0, snr_db_measured=10.0, snr_definition="x"
        )  # type: ignore[arg-type]
        return licensed(sessions[0], "CC-BY-4.0").model_copy(update={"noise": (noise,)})

    write_card([folder_of(tmp_path / "pink", [with_noise("pink")])], tmp_path / "card")
    around = with_noise("diffuse", "pink")  # a spectrum from all sides, no clip
    write_card([folder_of(tmp_path / "around", [around])], tmp_path / "card")
    with pytest.raises(LicenceConflict, match="noise n in session one"):
        write_card([folder_of(tmp_path / "street", [with_noise("ambient")])], tmp_path / "card")


def test_a_recording_of_its_own_has_the_licence_of_its_session(
    tmp_path: Path, sessions: list[Session]
) -> None:
    rows = [row.model_copy(update={"source": None}) for row in sessions[0].supervisions]
    own = sessions[0].model_copy(
        update={
            "origin": "converted",
            "supervisions": tuple(rows),
            "licences": Licences(spdx=("CC-BY-ND-4.0",)),
        }
    )
    card = write_card([folder_of(tmp_path / "own", [own])], tmp_path / "card")
    assert card.licence.ids == ("CC-BY-ND-4.0",)  # labelled, not changed
    text = (tmp_path / "card" / "README.md").read_text(encoding="utf8")
    assert "Changed versions must not be passed on." in text
    assert "these are recordings of their own" in text
    simulated = own.model_copy(update={"origin": "simulated"})
    with pytest.raises(LicenceConflict, match="the session as a whole in session one"):
        write_card([folder_of(tmp_path / "sim", [simulated])], tmp_path / "card")


def test_several_folders_make_one_card(tmp_path: Path, sessions: list[Session]) -> None:
    folders = [
        folder_of(tmp_path / name, [licensed(session, "CC-BY-4.0")])
        for name, session in zip(("a", "b"), sessions, strict=True)
    ]
    card = write_card(folders, tmp_path / "card")
    assert card.figures.sessions == 2
    node = json.loads((tmp_path / "card" / "croissant.json").read_text(encoding="utf8"))
    paths = [f["contentUrl"] for f in node["distribution"] if "contentUrl" in f]
    assert paths == ["../a/cuts.jsonl", "../b/cuts.jsonl"]
    assert len({item["@id"] for item in node["recordSet"]}) == 2


def test_no_session_and_no_date_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match="no session"):
        write_card([folder_of(tmp_path / "none", [])], tmp_path / "card")
    with pytest.raises(ConfigurationError, match="YYYY-MM-DD"):
        CardOptions(date="yesterday")


def test_the_command_says_what_it_wrote(tmp_path: Path, sessions: list[Session]) -> None:
    folder = folder_of(tmp_path / "talks", [licensed(s, "CC-BY-4.0") for s in sessions])
    result = CliRunner().invoke(app, ["card", str(folder), "--out", str(folder), "--json"])
    assert result.exit_code == 0, result.output
    assert json.loads(result.output)["licence"] == "CC-BY-4.0"
    bad = folder_of(tmp_path / "bad", [licensed(sessions[0], "CC-BY-ND-4.0")])
    assert CliRunner().invoke(app, ["card", str(bad), "--out", str(bad)]).exit_code == 1
