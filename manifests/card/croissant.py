"""The card as Croissant 1.1: JSON-LD that data set search and loaders read.

Terms: schema.org, Croissant (http://mlcommons.org/croissant/1.1), its extension for responsible AI
(http://mlcommons.org/croissant/RAI/1.0) and PROV-O (https://www.w3.org/TR/prov-o/).
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkover.manifests.audio import file_sha256
from talkover.manifests.card.figures import Figures
from talkover.manifests.card.resolve import Licence
from talkover.manifests.exports import LABEL_FILES
from talkover.manifests.lines import cuts_file

Node = dict[str, Any]

VERSION = "http://mlcommons.org/croissant/1.1"
RAI_VERSION = "http://mlcommons.org/croissant/RAI/1.0"

CONTEXT: Node = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "arrayShape": "cr:arrayShape",
    "citeAs": "cr:citeAs",
    "column": "cr:column",
    "conformsTo": "dct:conformsTo",
    "containedIn": "cr:containedIn",
    "cr": "http://mlcommons.org/croissant/",
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "dct": "http://purl.org/dc/terms/",
    "description": {"@container": "@language"},
    "equivalentProperty": "cr:equivalentProperty",
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "extract": "cr:extract",
    "field": "cr:field",
    "fileObject": "cr:fileObject",
    "fileProperty": "cr:fileProperty",
    "fileSet": "cr:fileSet",
    "format": "cr:format",
    "includes": "cr:includes",
    "isArray": "cr:isArray",
    "isLiveDataset": "cr:isLiveDataset",
    "jsonPath": "cr:jsonPath",
    "key": "cr:key",
    "md5": "cr:md5",
    "name": {"@container": "@language"},
    "parentField": "cr:parentField",
    "path": "cr:path",
    "prov": "http://www.w3.org/ns/prov#",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "recordSet": "cr:recordSet",
    "references": "cr:references",
    "regex": "cr:regex",
    "repeated": "cr:repeated",
    "replace": "cr:replace",
    "samplingRate": "cr:samplingRate",
    "sc": "https://schema.org/",
    "separator": "cr:separator",
    "source": "cr:source",
    "subField": "cr:subField",
    "transform": "cr:transform",
}
"""The vocabulary of Croissant 1.1, and `prov`."""

JSON_LINES = "application/jsonlines"
MEDIA_TYPES = {
    ".flac": "audio/flac",
    ".wav": "audio/wav",
    ".ogg": "audio/ogg",
    ".mp3": "audio/mpeg",
}
LABEL_TYPES = {".json": "application/json"}

STATISTICS: tuple[tuple[str, str, str], ...] = (
    ("num_speakers", "sc:Integer", "Speakers of the session."),
    ("num_turns", "sc:Integer", "Turns of the session."),
    ("overlap_of_speech", "sc:Float", "Share of the speech in which two or more speak."),
)


@dataclass(frozen=True, kw_only=True)
class Facts:
    """What the card says about the data set as a whole."""

    name: str
    description: str
    version: str
    creator: str | None = None
    url: str | None = None
    date: str | None = None


def croissant(
    facts: Facts, figures: Figures, licence: Licence, folders: Sequence[Path], out: Path
) -> Node:
    """The card as a JSON-LD object.

    Args:
        facts: Name, description and so on.
        figures: Of all sessions.
        licence: As resolved.
        folders: The produced folders.
        out: Where the card is written; paths are relative to it.
    """
    places = list(_places(folders, out))
    node: Node = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": [VERSION, RAI_VERSION],
        "name": facts.name,
        "description": facts.description,
        "version": facts.version,
        "license": [terms.url for terms in licence.terms],
        "keywords": ["speech", "multi-talker", "diarization", "overlap", *sorted(figures.origins)],
        "inLanguage": sorted(name for name in figures.languages if name != "not stated"),
        "creator": facts.creator and {"@type": "sc:Organization", "name": facts.creator},
        "url": facts.url,
        "datePublished": facts.date,
        "citeAs": _citation(facts),
        "creditText": "; ".join(sorted(figures.attribution)),
        "isLiveDataset": False,
        "distribution": [node for place in places for node in _files(place, figures)],
        "recordSet": [_record_set(place, len(places) > 1) for place in places],
        **_provenance(figures),
        **_responsible(figures, licence),
    }
    return {key: value for key, value in node.items() if value not in (None, "", [])}


@dataclass(frozen=True, slots=True)
class _Place:
    folder: Path
    path: str
    """Of the folder, relative to the card."""
    name: str
    """Apart from those of the other folders."""

    def inside(self, file: str) -> str:
        return file if self.path == "." else f"{self.path}/{file}"


def _places(folders: Sequence[Path], out: Path) -> Iterator[_Place]:
    for n, folder in enumerate(folders):
        path = Path(os.path.relpath(folder.absolute(), out.absolute())).as_posix()
        name = folder.absolute().name if len(folders) == 1 else f"{n}-{folder.absolute().name}"
        yield _Place(folder, path, name)


def _files(place: _Place, figures: Figures) -> Iterator[Node]:
    """The manifest, the label files and the audio of a folder."""
    cuts = cuts_file(place.folder)
    yield _file(place, cuts, JSON_LINES, "The sessions: Lhotse cuts, one a line.")
    for name in LABEL_FILES:
        path = place.folder / name
        if path.is_file():
            kind = LABEL_TYPES.get(path.suffix, "text/plain")
            yield _file(place, path, kind, f"Labels of all sessions as {path.suffix[1:].upper()}.")
    for suffix in sorted(figures.audio_suffixes):
        yield {
            "@type": "cr:FileSet",
            "@id": f"{place.name}/audio{suffix}",
            "name": f"{place.name}/audio{suffix}",
            "description": "The audio of the sessions.",
            "encodingFormat": MEDIA_TYPES.get(suffix, "application/octet-stream"),
            "includes": [place.inside(f"audio/{some}{suffix}") for some in ("*", "**/*")],
        }


def _file(place: _Place, path: Path, kind: str, description: str) -> Node:
    return {
        "@type": "cr:FileObject",
        "@id": f"{place.name}/{path.name}",
        "name": f"{place.name}/{path.name}",
        "description": description,
        "contentUrl": place.inside(path.name),
        "contentSize": f"{path.stat().st_size} B",
        "encodingFormat": kind,
        "sha256": file_sha256(path),
    }


def _record_set(place: _Place, is_one_of_many: bool) -> Node:
    name = f"{place.name}/sessions" if is_one_of_many else "sessions"
    source = f"{place.name}/{cuts_file(place.folder).name}"

    def item(field: str, kind: str, text: str, column: str, path: str | None = None) -> Node:
        extract: Node = {"fileObject": {"@id": source}, "extract": {"column": column}}
        return {
            "@type": "cr:Field",
            "@id": f"{name}/{field}",
            "name": f"{name}/{field}",
            "description": text,
            "dataType": kind,
            "source": extract if path is None else extract | {"transform": {"jsonPath": path}},
        }

    return {
        "@type": "cr:RecordSet",
        "@id": name,
        "name": name,
        "description": "One record a session.",
        "key": {"@id": f"{name}/id"},
        "field": [
            item("id", "sc:Text", "Id of the session.", "id"),
            item("duration", "sc:Float", "Length of its audio in seconds.", "duration"),
            item(
                "audio",
                "sc:Text",
                "Path of its audio, relative to the manifest.",
                "custom",
                "$.talkover.audio.path",
            ),
            *(
                item(field, kind, text, "custom", f"$.talkover.statistics.{field}")
                for field, kind, text in STATISTICS
            ),
        ],
    }


def _provenance(figures: Figures) -> Node:
    """What it was made from, and by what."""
    sources = [
        {
            "@type": "prov:Entity",
            "prov:label": f"{name} {version}".strip(),
            "sc:license": sorted(corpus.licences),
            "sc:description": (
                f"{len(corpus.utterances)} utterances of {len(corpus.speakers)} speakers, "
                f"{corpus.seconds / 3600:.3f} h used"
            ),
        }
        for (name, version), corpus in sorted(figures.corpora.items())
    ]
    made = [
        {
            "@type": "prov:Activity",
            "prov:label": f"{tool} {version}",
            "prov:wasAssociatedWith": {"@type": "prov:SoftwareAgent", "prov:label": tool},
            "sc:description": f"{count} sessions; sha256 of the configuration {configuration}",
        }
        for (tool, version, configuration), count in sorted(figures.tools.items())
    ]
    return {"prov:wasDerivedFrom": sources, "prov:wasGeneratedBy": made}


def _responsible(figures: Figures, licence: Licence) -> Node:
    """What the manifests know of how the data came about, and of their limits."""
    limits = [
        f"{figures.without_text} of {figures.utterances} utterances have no transcript."
        if figures.without_text
        else "",
        f"The licence of {licence.unstated} uses is not stated." if licence.unstated else "",
        "Conversations are simulated: what is said does not answer what was said before."
        if figures.origins["simulated"]
        else "",
    ]
    return {
        "rai:dataCollection": "; ".join(
            f"{count} sessions {origin}" for origin, count in sorted(figures.origins.items())
        ),
        "rai:dataCollectionType": ["Synthetic"] if set(figures.origins) == {"simulated"} else [],
        "rai:machineAnnotationTools": [
            f"{backend} {version}" for backend, version in sorted(figures.backends)
        ],
        "rai:dataLimitations": [text for text in limits if text],
        "rai:personalSensitiveInformation": ["Voices of the speakers of the source corpora."],
    }


def _citation(facts: Facts) -> str | None:
    if facts.creator is None:
        return None
    year = f" ({facts.date[:4]})" if facts.date else ""
    return f"{facts.creator}{year}. {facts.name}, version {facts.version}."
