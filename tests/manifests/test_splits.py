"""Splits share nothing, stay as they are when the corpus grows, and stand alone on the disk."""

from __future__ import annotations

import hashlib
import json
import random
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ManifestError, RunError
from talkover.manifests.io import read_sessions, write_sessions
from talkover.manifests.schema import (
    Audio,
    Licences,
    Microphones,
    Noise,
    Provenance,
    RegistrationClip,
    Room,
    Scene,
    Session,
    Source,
    Supervision,
    time_span,
)
from talkover.manifests.split_files import read_split, verify_split, write_split
from talkover.manifests.split_keys import (
    KINDS,
    key_split,
    session_keys,
    speaker_split,
)
from talkover.manifests.splits import SplitPlan, plan_split

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 8000
HASH = hashlib.sha256(b"").hexdigest()
bounded = settings(max_examples=25, deadline=None)


def session(
    name: str,
    speakers: Iterable[str],
    *,
    room: str | None = None,
    noise: str | None = None,
    recording: str | None = None,
    registered: Iterable[str] = (),
    seconds: int = 10,
    language: str = "en",
) -> Session:
    supervisions = tuple(
        Supervision(
            id=f"{name}-{place}",
            turn_id=f"{name}-{place}",
            speaker=speaker,
            speaker_local=f"S{place + 1:02d}",
            start=float(place),
            duration=1.0,
            start_sample=place * RATE,
            num_samples=RATE,
            regions=(time_span(place * RATE, RATE, RATE),),
            text="so",
            language=language,
            source=Source(
                corpus="c",
                recording_id=recording or f"{speaker}-r",
                utterance_id=f"{speaker}-u",
                offset=0.0,
                duration=1.0,
            ),
        )
        for place, speaker in enumerate(speakers)
    )
    return Session(
        id=name,
        supervisions=supervisions,
        origin="simulated",
        audio=Audio(
            path=f"audio/{name}.wav",
            sha256=HASH,
            pcm_sha256=HASH,
            sampling_rate=RATE,
            num_samples=seconds * RATE,
            num_channels=1,
            format="wav",
            subtype="PCM_16",
        ),
        scene=None
        if room is None
        else Scene(
            room=Room(kind="shoebox", id=room), microphones=Microphones(name="one"), seats=()
        ),
        noise=()
        if noise is None
        else (
            Noise(
                id=noise,
                kind="ambient",
                snr_db_asked=10.0,
                snr_db_measured=10.0,
                snr_definition="whole session",
            ),
        ),
        registration=tuple(
            RegistrationClip(
                speaker=speaker,
                path=f"registration/{speaker}.wav",
                sha256=HASH,
                duration=2.0,
                utterance_ids=("e",),
            )
            for speaker in registered
        ),
        provenance=Provenance(tool="t", version="0", configuration={}, configuration_hash=HASH),
        licences=Licences(spdx=("CC0-1.0",)),
        uem=(time_span(0, seconds * RATE, RATE),),
    )


names = st.integers(0, 30).map("v{}".format)
corpora = st.lists(
    st.builds(
        lambda speakers, room, noise, recording, seconds: {
            "speakers": sorted(speakers),
            "room": room,
            "noise": noise,
            "recording": recording,
            "seconds": seconds,
        },
        st.sets(names, min_size=0, max_size=2),
        st.one_of(st.none(), names),
        st.one_of(st.none(), names),
        st.one_of(st.none(), names),
        st.integers(3, 60),
    ),
    max_size=25,
).map(lambda rows: [session(f"s{i}", **row) for i, row in enumerate(rows)])
modes = st.sampled_from(["hash", "components"])
EVEN = {"train": 0.5, "dev": 0.25, "test": 0.25}


def by_split(plan: SplitPlan, sessions: Iterable[Session]) -> dict[str, list[Session]]:
    found: dict[str, list[Session]] = {name: [] for name in plan.fractions}
    for one in sessions:
        if one.id in plan.assignment:
            found[plan.assignment[one.id]].append(one)
    return found


@bounded
@given(corpora, modes, st.integers(0, 3))
def test_no_two_splits_share_anything_and_every_session_is_accounted_for(
    sessions: list[Session], mode: str, seed: int
) -> None:
    plan = plan_split(sessions, fractions=EVEN, seed=seed, mode=mode)
    parts = by_split(plan, sessions)
    held = {
        split: {(kind, name) for one in part for kind in KINDS for name in session_keys(one)[kind]}
        for split, part in parts.items()
    }
    assert not held["train"] & held["dev"]
    assert not held["train"] & held["test"]
    assert not held["dev"] & held["test"]
    assert verify_split(parts) == []
    assert sorted([*plan.assignment, *(d.session for d in plan.dropped)]) == sorted(
        one.id for one in sessions
    )
    if mode == "components":
        assert plan.dropped == ()


@bounded
@given(corpora, st.integers(0, 24))
def test_growth_moves_no_session_and_brings_none_back(sessions: list[Session], at: int) -> None:
    before, after = plan_split(sessions[:at], fractions=EVEN), plan_split(sessions, fractions=EVEN)
    for name, split in before.assignment.items():
        assert after.assignment.get(name, split) == split
    assert {d.session for d in before.dropped} <= {d.session for d in after.dropped}


@bounded
@given(corpora, modes, st.randoms(use_true_random=False))
def test_the_order_of_sessions_does_not_matter(
    sessions: list[Session], mode: str, rng: random.Random
) -> None:
    shuffled = rng.sample(sessions, len(sessions))
    first, second = (plan_split(x, fractions=EVEN, mode=mode) for x in (sessions, shuffled))
    assert first.assignment == second.assignment
    assert first.table == second.table


@bounded
@given(corpora, modes)
def test_every_row_of_the_table_adds_up(sessions: list[Session], mode: str) -> None:
    plan = plan_split(sessions, mode=mode)
    total, *strata = plan.table
    assert sum(total.sessions.values()) == len(sessions)
    assert sum(total.seconds.values()) == sum(one.audio.duration for one in sessions)
    for respect in ("speakers", "overlap", "language"):
        rows = [row for row in strata if row.stratum == respect]
        for column in total.sessions:
            assert sum(row.sessions[column] for row in rows) == total.sessions[column]


def test_sessions_drawn_from_the_names_of_one_split_are_all_kept() -> None:
    rng = random.Random(1)
    lists: dict[str, dict[str, list[str]]] = {
        kind: {split: [] for split in EVEN} for kind in ("speaker", "room", "noise")
    }
    for kind, of_split in lists.items():
        for number in range(60):
            name = f"{kind[0]}{number}"
            key = f"room/{name}" if kind == "room" else name
            of_split[key_split(kind, key, fractions=EVEN)].append(name)
    sessions = [
        session(
            f"{split}{number}",
            rng.sample(lists["speaker"][split], 3),
            room=rng.choice(lists["room"][split]),
            noise=rng.choice(lists["noise"][split]),
        )
        for split in EVEN
        for number in range(30)
    ]
    plan = plan_split(sessions, fractions=EVEN)
    assert plan.dropped == ()
    assert all(name.startswith(split) for name, split in plan.assignment.items())


def test_names_are_dealt_out_in_the_shares_that_were_asked() -> None:
    counts = Counter(speaker_split(f"speaker-{number}") for number in range(4000))
    assert counts["train"] == pytest.approx(3200, abs=100)  # 4 standard deviations
    assert counts["dev"] == pytest.approx(400, abs=76)
    assert counts["test"] == pytest.approx(400, abs=76)


def test_the_split_of_a_name_is_pinned() -> None:
    found = [speaker_split(f"speaker-{number}", 7, EVEN) for number in range(12)]
    assert found == [
        "train",
        "train",
        "train",
        "train",
        "test",
        "test",
        "test",
        "dev",
        "train",
        "train",
        "train",
        "test",
    ]


def first_in(split: str, kind: str = "speaker") -> str:
    names = (f"{kind}-{number}" for number in range(100))
    return next(name for name in names if key_split(kind, name, fractions=EVEN) == split)


def test_what_bridges_is_dropped_with_a_reason_that_names_it() -> None:
    ana, bo = first_in("train"), first_in("dev")
    hall = first_in("train", "noise")
    sessions = [
        session("both", [ana, bo]),
        session("one", [ana], noise=hall),
        session("two", [bo], noise=hall),
        session("three", [bo]),
    ]
    plan = plan_split(sessions, fractions=EVEN)
    assert plan.assignment == {"one": "train", "three": "dev"}
    reasons = {one.session: (one.kind, one.reason) for one in plan.dropped}
    assert reasons["both"] == (
        "speaker",
        f"speakers of several splits: {', '.join(sorted([f'{ana} (train)', f'{bo} (dev)']))}",
    )
    assert reasons["two"] == ("noise", f"noise {hall} is also in train, which keeps it")
    without = plan_split(sessions, fractions=EVEN, disjoint=("speaker",))
    assert without.assignment == {"one": "train", "two": "dev", "three": "dev"}


def test_a_distractor_of_a_registration_counts_as_a_speaker() -> None:
    ana, bo = first_in("train"), first_in("dev")
    plan = plan_split([session("x", [ana], registered=[bo])], fractions=EVEN)
    assert [one.session for one in plan.dropped] == ["x"]


def test_dry_rooms_and_synthetic_noise_are_shared_by_all() -> None:
    one = session("x", ["ana"], room="r", noise="n")
    assert one.scene is not None
    dry = one.scene.model_copy(update={"room": Room(kind="dry", id="dry")})
    pink = one.noise[0].model_copy(update={"kind": "pink"})
    keys = session_keys(one.model_copy(update={"scene": dry, "noise": (pink,)}))
    assert keys["room"] == [] and keys["noise"] == []
    assert session_keys(one)["room"] == ["room/r"] and session_keys(one)["noise"] == ["n"]


def test_components_meet_the_shares_in_every_stratum_when_groups_are_small() -> None:
    sessions = [
        session(f"s{i}", [f"v{i}", f"w{i}"][: 1 + i % 2], language=("en", "zh")[i // 2 % 2])
        for i in range(200)
    ]
    plan = plan_split(sessions, fractions=EVEN, mode="components")
    for row in plan.table:
        assert row.sessions["train"] == pytest.approx(sum(row.sessions.values()) / 2, abs=1)
        assert row.sessions["test"] == pytest.approx(sum(row.sessions.values()) / 4, abs=1)


def test_more_candidates_are_never_less_even_and_the_plan_names_the_seed() -> None:
    sessions = [session(f"s{i}", [f"v{i % 20}"], seconds=3 + i % 7) for i in range(60)]
    fractions = {"train": 0.6, "test": 0.4}

    def distance(plan: SplitPlan) -> float:
        return abs(plan.shares()["train"] - 0.6)

    plans = [plan_split(sessions, fractions=fractions, seed=seed) for seed in range(20)]
    best = plan_split(sessions, fractions=fractions, candidates=20)
    assert best.seed in range(20) and best == plans[best.seed]
    assert distance(best) < sorted(map(distance, plans))[10]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"fractions": {"train": 0.5, "test": 0.4}}, "sum to 1"),
        ({"fractions": {"../x": 1.0}}, "letters, digits"),
        ({"disjoint": ()}, "disjoint must name"),
        ({"disjoint": ("words",)}, "disjoint must name"),
        ({"stratify": ("mood",)}, "stratify must name"),
        ({"candidates": 0}, "candidates must be 1"),
    ],
)
def test_impossible_arguments_are_refused(arguments: dict[str, object], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        plan_split([], **arguments)


def test_an_id_that_comes_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="comes twice"):
        plan_split([session("x", ["a"]), session("x", ["b"])])


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    sessions = [session(f"s{i}", [f"v{i}"], registered=[f"v{i}"]) for i in range(12)]
    for one in sessions:
        for path in (one.audio.path, one.registration[0].path):
            (folder / path).parent.mkdir(parents=True, exist_ok=True)
            (folder / path).write_bytes(path.encode())
    write_sessions(folder / "cuts.jsonl", sessions)
    return folder


def contents(folder: Path) -> dict[str, bytes]:
    files = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in files}


def test_written_splits_stand_alone_and_are_the_same_bytes_again(
    corpus: Path, tmp_path: Path
) -> None:
    plan = plan_split(read_sessions(corpus), fractions=EVEN, mode="components")
    counts = write_split(corpus, tmp_path / "one", plan)
    write_split(corpus, tmp_path / "two", plan)
    assert contents(tmp_path / "one") == contents(tmp_path / "two")
    assert counts == {"train": 6, "dev": 3, "test": 3}
    for name, sessions in read_split(tmp_path / "one").items():
        for one in sessions:
            assert one.split == name == plan.assignment[one.id]
            path = tmp_path / "one" / name / one.audio.path
            assert path.read_bytes() == one.audio.path.encode()
            assert path.samefile(corpus / one.audio.path)
        assert (tmp_path / "one" / name / "labels.rttm").is_file()
    assert verify_split(read_split(tmp_path / "one")) == []
    said = json.loads((tmp_path / "one" / "split.json").read_text())
    assert said["splits"] == ["train", "dev", "test"] and said["seed"] == 0


def test_files_are_copied_where_they_cannot_be_linked(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise OSError("cross-device link")

    monkeypatch.setattr("os.link", refuse)
    plan = plan_split(read_sessions(corpus))
    write_split(corpus, tmp_path / "out", plan)
    copied = tmp_path / "out" / plan.assignment["s0"] / "audio" / "s0.wav"
    assert copied.read_bytes() == b"audio/s0.wav" and not copied.samefile(corpus / "audio/s0.wav")


def test_nothing_is_published_when_plan_and_folder_differ(corpus: Path, tmp_path: Path) -> None:
    sessions = list(read_sessions(corpus))
    with pytest.raises(ManifestError, match="not in the plan"):
        write_split(corpus, tmp_path / "out", plan_split(sessions[1:]))
    with pytest.raises(ManifestError, match="1 sessions of the plan are not there"):
        write_split(corpus, tmp_path / "out", plan_split([*sessions, session("more", ["z"])]))
    (corpus / "audio" / "s3.wav").unlink()
    with pytest.raises(ManifestError, match=r"file audio/s3\.wav of session s3 is missing"):
        write_split(corpus, tmp_path / "out", plan_split(sessions))
    assert not list((tmp_path / "out").glob("*/cuts.jsonl"))


def test_a_split_is_not_written_over_another(corpus: Path, tmp_path: Path) -> None:
    plan = plan_split(read_sessions(corpus))
    write_split(corpus, tmp_path / "out", plan)
    with pytest.raises(RunError, match="choose an empty folder"):
        write_split(corpus, tmp_path / "out", plan)


def test_leaks_are_found_with_one_session_of_each_split() -> None:
    leaks = verify_split(
        {
            "train": [session("a", ["ana"], room="r"), session("b", ["ana"])],
            "dev": [session("c", ["bo"], room="r")],
            "test": [session("d", ["ana"], room="q")],
        }
    )
    assert [(leak.kind, leak.name, dict(leak.sessions)) for leak in leaks] == [
        ("speaker", "ana", {"train": "a", "test": "d"}),
        ("utterance", "c/ana-u", {"train": "a", "test": "d"}),
        ("recording", "c/ana-r", {"train": "a", "test": "d"}),
        ("room", "room/r", {"train": "a", "dev": "c"}),
    ]


def test_a_folder_without_splits_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"no \*/cuts\.jsonl"):
        read_split(tmp_path)
