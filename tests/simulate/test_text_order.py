"""Coherent text: one book in its order, a given script, a dialogue from a stub endpoint."""

from __future__ import annotations

import csv
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget, RunError
from talkover.simulate import chat_endpoint
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.request import RunRequest
from talkover.simulate.run import plan_only, prepare, render_run
from talkover.simulate.source_cache import SourceCache

RATE = 16000
SHORT = ["room.kind=dry", "noise.kind=none", "registration.lengths=[]", "session.length=[20,20]"]
SENTENCES = [
    "the train leaves at noon", "we should buy bread", "my sister lives in paris",
    "rain is coming this evening", "nobody answered the phone", "please close the window",
]  # fmt: skip


@pytest.fixture(scope="module")
def manifest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four speakers, six sentences each, three topics of which two are shared by two speakers."""
    folder = tmp_path_factory.mktemp("talk")
    rng = np.random.default_rng(0)
    rows = []
    for speaker in range(4):
        for n, sentence in enumerate(SENTENCES):
            name = f"s{speaker}-{n}.wav"
            sf.write(folder / name, 0.1 * rng.standard_normal(RATE + 800 * n), RATE)
            rows.append(
                {
                    "utterance_id": f"s{speaker}-{n}", "speaker": f"s{speaker}", "file": name,
                    "text": sentence if speaker % 2 else sentence[::-1],
                    "topic": f"book{speaker // 2}" if n < 5 else "lonely",
                }
            )  # fmt: skip
    path = folder / "manifest.csv"
    with path.open("w", newline="", encoding="utf8") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def planner(manifest: Path, folder: Path, *settings: str) -> Planner:
    cache = SourceCache.build(open_corpora([str(manifest)]), folder, RATE)
    made = make_planner(load_config(None, [*SHORT, *settings]), "0" * 64, cache, 0)
    made.check()
    return made


def test_a_book_is_shared_and_told_in_its_order(manifest: Path, tmp_path: Path) -> None:
    plans = planner(
        manifest,
        tmp_path,
        "text.order=book",
        "text.window=1",
        "session.speakers=[2,2]",
        "turns.overlap=0",
    )
    for index in range(6):
        conversation, cast, _ = plans.converse(index)
        rows = [plans.cache.utterance(u.slice.utterance) for u in conversation.units]
        assert len({row.topic for row in rows}) == 1
        for k in range(2):
            said = [
                plans.cache.utterance(u.slice.utterance).utterance_id
                for u in conversation.units
                if u.speaker == k and u.role != "backchannel"
            ]
            first = list(dict.fromkeys(said))
            assert first == sorted(first)
        assert cast.rank is not None


def test_a_corpus_without_topics_cannot_follow_a_book(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InfeasibleTarget, match="names no book"):
        planner(tone_corpus(), tmp_path, "text.order=book")


def test_a_script_is_said_and_what_has_no_utterance_is_reported(
    manifest: Path, tmp_path: Path
) -> None:
    script = tmp_path / "script.txt"
    script.write_text(
        "# a play\nann: The train leaves at noon!\nbob: We should buy bread.\n"
        '{"speaker": "ann", "text": "My sister lives in Paris"}\nbob: quantum zebra\n',
        encoding="utf8",
    )
    config = load_config(
        None, [*SHORT, "text.order=script", f"text.script={script}", "turns.overlap=0.1"]
    )
    request = RunRequest(out=tmp_path / "o", corpora=(str(manifest),), config=config, sessions=2)
    run = prepare(request, executor="serial")
    plan = run.planner.plan(0)
    cache = run.planner.cache
    said = [cache.utterance(p.utterance).text for p in plan.placements]
    assert said == [SENTENCES[0], SENTENCES[1], SENTENCES[2]]
    names = [p.speaker_local for p in plan.placements]
    assert names[0] == names[2] != names[1]
    assert plan.asked.unmatched_lines == ("bob: quantum zebra",)
    summary = render_run(run, executor="serial")
    assert summary is not None
    assert summary.script_lines == (6, 2)
    assert "quantum zebra" in (tmp_path / "o" / "report.html").read_text(encoding="utf8")
    assert next(f for f in summary.figures if f.name == "overlap").holds


@pytest.mark.parametrize("text", ["no colon here\n", "", '{"speaker": "a"}\n'])
def test_a_script_that_is_none_is_refused(manifest: Path, tmp_path: Path, text: str) -> None:
    script = tmp_path / "script.txt"
    script.write_text(text, encoding="utf8")
    with pytest.raises(ConfigurationError, match="script"):
        planner(manifest, tmp_path / "c", "text.order=script", f"text.script={script}")


class Stub:
    """An endpoint that answers from a list of (status, content or None for silence)."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, str | None]] = []
        self.requests: list[dict] = []
        self.keys: list[str | None] = []
        stub = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                stub.requests.append(body)
                stub.keys.append(self.headers["Authorization"])
                status, content = stub.answers.pop(0) if stub.answers else (200, GOOD)
                if content is None:
                    time.sleep(1.0)
                    content = ""
                reply = json.dumps({"choices": [{"message": {"content": content}}]}).encode()
                try:
                    self.send_response(status)
                    self.end_headers()
                    self.wfile.write(reply)
                except OSError:
                    pass  # the client has gone: that is what is tested

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


GOOD = json.dumps(
    {
        "lines": [
            {"speaker": "A", "text": SENTENCES[0]}, {"speaker": "B", "text": SENTENCES[1][::-1]},
            {"speaker": "B", "text": SENTENCES[1]}, {"speaker": "A", "text": SENTENCES[0][::-1]},
        ]
    }
)  # fmt: skip


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Iterator[Stub]:
    monkeypatch.setattr(chat_endpoint, "FIRST_WAIT", 0.0)
    made = Stub()
    yield made
    made.server.shutdown()
    made.server.server_close()


def dialogue(manifest: Path, out: Path, stub: Stub, *settings: str) -> RunRequest:
    config = load_config(
        None,
        [
            *SHORT, "text.order=dialogue", f"text.dialogue.base_url={stub.url}",
            "session.speakers=[2,2]", "text.dialogue.timeout=0.4", "text.dialogue.parallel=1",
            *settings,
        ],
    )  # fmt: skip
    return RunRequest(
        out=out, corpora=(str(manifest),), config=config, sessions=2, cache=out.parent / "cache"
    )


def test_bad_answers_are_asked_for_again_and_good_ones_are_kept(
    manifest: Path, tmp_path: Path, stub: Stub
) -> None:
    stub.answers = [
        (500, "down"), (200, "not json"), (200, '{"lines": [{"speaker": "Z", "text": "x"}]}'),
        (200, GOOD), (200, None), (200, "```json\n" + GOOD + "\n```"),
    ]  # fmt: skip
    path = plan_only(prepare(dialogue(manifest, tmp_path / "a", stub), executor="serial"))
    assert len(stub.requests) == 6
    assert len({r["seed"] for r in stub.requests}) == 6, "another seed with every request"
    prompt = stub.requests[0]["messages"][1]["content"]
    assert "plans for the weekend" in prompt and "Sentences of A" in prompt
    before = path.read_bytes()
    plans = [json.loads(line) for line in before.decode().splitlines()]
    assert all(2 <= len(plan["placements"]) <= 4 for plan in plans)
    stub.server.shutdown()  # a run again needs no network
    again = plan_only(prepare(dialogue(manifest, tmp_path / "b", stub), executor="serial"))
    assert again.read_bytes() == before
    assert len(stub.requests) == 6


def test_a_refusing_endpoint_is_a_clear_error(
    manifest: Path, tmp_path: Path, stub: Stub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TALK_KEY", "secret")
    stub.answers = [(401, "no such key")] * 2
    request = dialogue(manifest, tmp_path / "a", stub, "text.dialogue.api_key_env=TALK_KEY")
    with pytest.raises(RunError, match="HTTP 401") as caught:
        prepare(request, executor="serial")
    assert set(stub.keys) == {"Bearer secret"} and len(stub.keys) <= 2
    assert "secret" not in str(caught.value)
    assert not list(tmp_path.rglob("dialogues/*.json"))


def test_a_key_that_is_not_set_is_named(manifest: Path, tmp_path: Path, stub: Stub) -> None:
    request = dialogue(manifest, tmp_path / "a", stub, "text.dialogue.api_key_env=NO_SUCH_KEY")
    with pytest.raises(ConfigurationError, match="NO_SUCH_KEY"):
        prepare(request, executor="serial")


def test_only_addresses_of_http_are_asked(manifest: Path, tmp_path: Path, stub: Stub) -> None:
    request = dialogue(manifest, tmp_path / "a", stub, "text.dialogue.base_url=file:///etc/passwd")
    with pytest.raises(ConfigurationError, match="http://"):
        prepare(request, executor="serial")


def test_an_unknown_order_names_the_others(manifest: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="book, dialogue, random, script"):
        planner(manifest, tmp_path, "text.order=poem")
