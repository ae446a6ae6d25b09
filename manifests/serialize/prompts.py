"""The instruction beside the audio: what to write, and the names and words to expect."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Language = Literal["en", "zh"]


@dataclass(frozen=True, kw_only=True)
class PromptOptions:
    """What an instruction says besides the format."""

    language: Language = "en"
    """Language of the instruction, not of the audio."""
    hotwords: tuple[str, ...] = ()
    """Rare words and names that may be said."""
    registered: tuple[str, ...] = ()
    """Names of the speakers whose voices the model was given, whether they speak or not."""
    duration: float | None = None
    """Seconds of audio, where the model is told."""

    def __post_init__(self) -> None:
        """Check the language and the duration."""
        if self.language not in TASK:
            raise ValueError(f"language must be one of {', '.join(TASK)}, got {self.language!r}")
        if self.duration is not None and not self.duration > 0:
            raise ValueError(f"duration must be None or seconds above 0, got {self.duration}")


TASK = {
    "en": "Transcribe the conversation{who}.",
    "zh": "请转写这段对话{who}。",
}
WHO = {"en": " and say who speaks", "zh": "，并标出说话人"}
FORMS = {
    "en": {
        "inline": "Write each turn as [start][speaker]text[end], in seconds and in order of start.",
        "sc": "Write {mark} before each turn, in order of start.",
        "roles": "Write one turn per line, by roles, as speaker: text.",
        "xml": "Write a <text> block with one line start-end>text per turn, then a <speaker> "
        "block with one <spk/> tag per turn in the same order.",
        "json": 'Write a JSON list with one object per turn: "Start" and "End" in seconds, '
        '"Speaker", "Content".',
    },
    "zh": {
        "inline": "每段写作[开始][说话人]文本[结束]，时间以秒为单位，按开始时间排序。",
        "sc": "每段之前写{mark}，按开始时间排序。",
        "roles": "按角色转写，每段一行，写作 说话人: 文本。",
        "xml": "先写<text>块，每段一行，写作 开始-结束>文本；再写<speaker>块，"
        "按相同顺序每段一个<spk/>标签。",
        "json": '写成JSON列表，每段一个对象，含"Start"、"End"（秒）、"Speaker"、"Content"。',
    },
}
DURATION = {"en": "The audio is {duration:.2f} seconds long.", "zh": "音频长{duration:.2f}秒。"}
REGISTERED = {"en": "Registered speakers: {names}.", "zh": "已注册的说话人：{names}。"}
HOTWORDS = {"en": "Hotwords: {words}.", "zh": "热词：{words}。"}
BETWEEN = {"en": (" ", ", "), "zh": ("", "、")}


def build_prompt(name: str, features: Iterable[str], options: PromptOptions) -> str:
    """The instruction for a format.

    Args:
        name: Name of the format; one that is not listed here gets the task alone.
        features: What the format carries.
        options: What else the instruction says.

    >>> build_prompt("roles", {"speakers"}, PromptOptions(registered=("ana", "bo")))
    'Transcribe the conversation and say who speaks. Write one turn per line, by roles, as speaker: text. Registered speakers: ana, bo.'
    """  # noqa: E501 - the sentence is shown as it is
    language = options.language
    has_speakers = "speakers" in features
    mark = "<sc><speaker>" if has_speakers else "<sc>"
    between, comma = BETWEEN[language]
    sentences = [TASK[language].format(who=WHO[language] if has_speakers else "")]
    if name in FORMS[language]:
        sentences.append(FORMS[language][name].replace("{mark}", mark))
    if options.duration is not None:
        sentences.append(DURATION[language].format(duration=options.duration))
    if options.registered and has_speakers:
        names = comma.join(one_line(name) for name in options.registered)
        sentences.append(REGISTERED[language].format(names=names))
    if options.hotwords:
        words = comma.join(one_line(word) for word in options.hotwords)
        sentences.append(HOTWORDS[language].format(words=words))
    return between.join(sentences)


def one_line(text: str) -> str:
    """The text with every run of white space as one space."""
    return " ".join(text.split())
