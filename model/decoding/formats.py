"""The grammars of the formats of `talkover.manifests.serialize`."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript, Turn, serializer
from talkover.model.codec import CodecConfig
from talkover.model.decoding.grammar import Block, Element, Escapes, Grammar

START, END, SPEAKER, WORDS = (
    Element("start"),
    Element("end"),
    Element("speaker"),
    Element("words"),
)
CONTROL = bytes(range(0x20))
"""Bytes that no JSON string may hold."""


def grammar_of(config: CodecConfig, duration: float, registered: Sequence[str] = ()) -> Grammar:
    """The grammar of a recording's text.

    Args:
        config: Format and its options.
        duration: Seconds of audio; no time lies beyond.
        registered: Names that may speak besides the numbered ones.

    Raises:
        ConfigurationError: If there is no grammar for the format.
    """
    if config.format not in GRAMMARS:
        raise ConfigurationError(
            f"constrained decoding knows {', '.join(GRAMMARS)}, not {config.format!r}"
        )
    return GRAMMARS[config.format](config, duration, _labels(config, registered))


def _literal(text: str) -> Element:
    return Element("literal", text.encode())


def _labels(config: CodecConfig, registered: Sequence[str]) -> tuple[bytes, ...]:
    """Names as the format writes them."""
    form = serializer(config.format, digits=config.digits, **dict(config.options))
    found = []
    for name in registered:
        pieces = form.pieces(Transcript(turns=(Turn(speaker=name, text="a", start=0.0, end=0.0),)))
        written = "".join(piece.text for piece in pieces if piece.tag == "speaker")
        found.append(f'"{written}"' if config.format == "json" else written)
    return tuple(name.encode() for name in found if name)


def _inline(config: CodecConfig, duration: float, labels: Sequence[bytes]) -> Grammar:
    turn = (
        _literal("["),
        START,
        _literal("]["),
        SPEAKER,
        _literal("]"),
        WORDS,
        _literal("["),
        END,
        _literal("]"),
    )
    escapes = Escapes(forbidden=b"[", mark=b"\\", after=b"[\\")
    blocks = [Block(opening=b"", between=b"", turn=turn, closing=b"")]
    return Grammar(blocks, escapes, duration=duration, digits=config.digits, labels=labels)


def _sc(config: CodecConfig, duration: float, labels: Sequence[bytes]) -> Grammar:
    head = (_literal("<sc><"), SPEAKER, _literal(">"))
    turn = (*(head if config.options.get("with_speakers", True) else (_literal("<sc>"),)), WORDS)
    blocks = [Block(opening=b"", between=b"", turn=turn, closing=b"")]
    escapes = Escapes(forbidden=b"<", mark=b"\\", after=b"<\\")
    return Grammar(
        blocks,
        escapes,
        duration=duration,
        digits=config.digits,
        labels=labels,
        label=(b"spk", 1, 1),
    )


def _roles(config: CodecConfig, duration: float, labels: Sequence[bytes]) -> Grammar:
    blocks = [Block(opening=b"", between=b"\n", turn=(SPEAKER, _literal(": "), WORDS), closing=b"")]
    escapes = Escapes(forbidden=b"\n", mark=b"\\", after=b"n\\")
    return Grammar(
        blocks,
        escapes,
        duration=duration,
        digits=config.digits,
        labels=labels,
        label=(b"spk", 0, 1),
    )


def _json(config: CodecConfig, duration: float, labels: Sequence[bytes]) -> Grammar:
    turn = (
        _literal('{"Start":'),
        START,
        _literal(',"End":'),
        END,
        _literal(',"Speaker":'),
        SPEAKER,
        _literal(',"Content":"'),
        WORDS,
        _literal('"}'),
    )
    return Grammar(
        [Block(opening=b"[", between=b",", turn=turn, closing=b"]")],
        Escapes(forbidden=b'"' + CONTROL, mark=b"\\", after=b'"\\/bfnrt'),
        duration=duration,
        digits=max(1, config.digits),
        least_digits=1,
        labels=labels,
        label=(b"", 0, 1),
    )


def _xml(config: CodecConfig, duration: float, labels: Sequence[bytes]) -> Grammar:
    texts = (START, _literal("-"), END, _literal(">"), WORDS, _literal("\n"))
    speakers = (
        _literal('<spk id="'),
        SPEAKER,
        _literal('" t="'),
        Element("again"),
        _literal('"/>\n'),
    )
    return Grammar(
        [
            Block(opening=b"<text>\n", between=b"", turn=texts, closing=b"</text>\n"),
            Block(
                opening=b"<speaker>\n",
                between=b"",
                turn=speakers,
                closing=b"</speaker>",
                repeats=True,
            ),
        ],
        Escapes(forbidden=b"<\n"),
        duration=duration,
        digits=config.digits,
        labels=labels,
        label=(b"", 1, 1),
    )


GRAMMARS: dict[str, Callable[[CodecConfig, float, Sequence[bytes]], Grammar]] = {
    "inline": _inline,
    "sc": _sc,
    "roles": _roles,
    "json": _json,
    "xml": _xml,
}
