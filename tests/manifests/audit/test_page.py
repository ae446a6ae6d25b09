"""The page: one file, the same bytes each time, nothing from outside, every picture drawn."""

from __future__ import annotations

import asyncio
import html
import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from talkover.manifests.audit import Audit
from talkover.manifests.audit.page import MOST_EXAMPLES
from talkover.manifests.audit.players import MOST_PLAYERS

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)
PICTURES = 8
"""Three timelines, floor transfers, talk shares, asked against measured, leaks, distributions."""


def spoil(corpus: Any, h: Any) -> None:
    """Findings to list and to listen to."""
    for cut in corpus.some(20):
        row = corpus.turn(cut)
        row["text"] += " <script>alert(1)</script>"
        h.ours(cut)["statistics"]["overlap_of_speech"] += 0.1
    h.ours(corpus.cuts[0])["scene"]["room"]["id"] = "room-23"


@pytest.fixture
def audit(corpus: Any, helpers: Any) -> Audit:
    spoil(corpus, helpers)
    return corpus.audit()


def test_the_page_needs_nothing_from_outside(audit: Audit, tmp_path: Path) -> None:
    text = audit.to_html(tmp_path / "page.html", audio=True).read_text(encoding="utf8")
    addresses = set(re.findall(r"https?://[^\"'<>\s]+", text))
    assert addresses <= {"http://www.w3.org/2000/svg", "http://www.w3.org/1999/xlink"}
    assert "default-src 'none'" in text
    assert "<script" not in text
    assert html.escape("<script>alert(1)</script>") in text
    assert set(re.findall(r"(?:src|href)=\"([a-z]*:|#)", text)) <= {"data:", "#"}


def test_the_page_has_every_picture_and_players_of_the_worst(audit: Audit, tmp_path: Path) -> None:
    text = audit.to_html(tmp_path / "page.html", audio=True).read_text(encoding="utf8")
    assert len(re.findall(r"<figure>.*?<svg.*?</svg>\s*</figure>", text, re.DOTALL)) == PICTURES
    assert text.count("<audio") == MOST_PLAYERS
    assert f"the first {MOST_EXAMPLES}" in text or text.count("<details>") >= 2
    without = audit.to_html(tmp_path / "other.html").read_text(encoding="utf8")
    assert "<audio" not in without


def test_the_same_corpus_gives_the_same_page(corpus: Any, helpers: Any, tmp_path: Path) -> None:
    spoil(corpus, helpers)
    corpus.cache = None
    pages = []
    for n, options in enumerate(({"executor": "serial"}, {"executor": "processes", "jobs": 2})):
        made = corpus.audit(**options).to_html(tmp_path / f"{n}.html", audio=True)
        pages.append(made.read_bytes())
    assert pages[0] == pages[1]


def test_a_notebook_shows_a_card(audit: Audit) -> None:
    card = audit._repr_html_()
    assert "overlap_ratio" in card and "failed" in card and "<svg" not in card


def test_pictures_can_be_asked_for_alone(audit: Audit) -> None:
    figure = audit.plot.timeline("s003", start=10, seconds=20)
    assert figure.axes[0].get_xlim() == (10, 30)
    assert len(audit.plot.ecdf("overlap_of_speech").axes) == 1
    with pytest.raises(ValueError, match="no session"):
        audit.plot.timeline("nonesuch")


async def _visit(port: int, address: str) -> dict[str, Any]:
    """Open a page over the DevTools protocol and note all that happens."""
    import aiohttp

    events: list[dict[str, Any]] = []
    async with aiohttp.ClientSession() as client:
        async with client.get(f"http://127.0.0.1:{port}/json/list") as answer:
            targets = await answer.json()
        target = next(one for one in targets if one["type"] == "page")
        async with client.ws_connect(target["webSocketDebuggerUrl"], max_msg_size=0) as socket:
            number = 0

            async def call(method: str, until: str | None = None, **parameters: Any) -> Any:
                nonlocal number
                number += 1
                message = {"id": number, "method": method, "params": parameters}
                await socket.send_str(json.dumps(message))
                result = None
                while True:
                    got = json.loads((await socket.receive(timeout=60)).data)
                    if got.get("id") == number:
                        result = got
                        until = until or "done"
                    else:
                        events.append(got)
                    if result is not None and (
                        until == "done" or any(e.get("method") == until for e in events)
                    ):
                        return result

            for domain in ("Network", "Log", "Runtime", "Page"):
                await call(f"{domain}.enable")
            await call("Page.navigate", until="Page.loadEventFired", url=address)
            await asyncio.sleep(1)
            script = """
                (async () => {
                  const sounds = [...document.querySelectorAll('audio')];
                  for (const one of sounds) {
                    for (let n = 0; n < 50 && !(one.readyState > 0 || one.error); n++)
                      await new Promise(next => setTimeout(next, 100));
                  }
                  const figures = [...document.querySelectorAll('figure')].map(figure => {
                    const box = figure.querySelector('svg').getBoundingClientRect();
                    const drawn = [...figure.querySelectorAll('path, use, image, text')].filter(
                      part => part.getBoundingClientRect().width > 0).length;
                    return {width: box.width, height: box.height, drawn};
                  });
                  return JSON.stringify({figures, sounds: sounds.map(one => one.duration)});
                })()
            """
            answer = await call(
                "Runtime.evaluate", expression=script, awaitPromise=True, returnByValue=True
            )
    return {"seen": json.loads(answer["result"]["result"]["value"]), "events": events}


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[int]:
    """The port of a headless Chromium."""
    if CHROMIUM is None:
        pytest.skip("no Chromium on this machine: apt-get install chromium")
    profile = tmp_path / "profile"
    words = [CHROMIUM, "--headless=new", "--no-sandbox", "--disable-gpu", "--no-first-run",
             "--disable-background-networking", "--remote-debugging-port=0",
             f"--user-data-dir={profile}", "about:blank"]  # fmt: skip
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stderr is not None
        for line in process.stderr:
            if found := re.search(r"DevTools listening on ws://[^:]+:(\d+)/", line):
                yield int(found.group(1))
                break
        else:
            pytest.fail("Chromium ended before it listened")
    finally:
        process.kill()
        process.wait()
        process.stderr.close()


@pytest.mark.slow
def test_a_browser_draws_all_and_asks_the_network_for_nothing(
    audit: Audit, tmp_path: Path, browser: int
) -> None:
    page = audit.to_html(tmp_path / "page.html", audio=True)
    visit = asyncio.run(_visit(browser, page.as_uri()))
    methods = [event.get("method") for event in visit["events"]]
    asked = [
        event["params"]["request"]["url"]
        for event in visit["events"]
        if event.get("method") == "Network.requestWillBeSent"
    ]
    assert page.as_uri() in asked  # the ear is open
    assert {url.partition(":")[0] for url in asked if url != page.as_uri()} <= {"data"}
    assert "Log.entryAdded" not in methods, visit["events"]
    assert "Runtime.exceptionThrown" not in methods
    assert "Runtime.consoleAPICalled" not in methods
    figures = visit["seen"]["figures"]
    assert len(figures) == PICTURES
    assert all(f["width"] > 300 and f["height"] > 100 and f["drawn"] > 10 for f in figures), figures
    assert len(visit["seen"]["sounds"]) == MOST_PLAYERS
    assert all(0 < seconds <= 4.01 for seconds in visit["seen"]["sounds"])
