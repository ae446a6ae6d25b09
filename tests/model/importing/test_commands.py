"""The command: what it prints, and one line where a folder cannot be read."""

from __future__ import annotations

import inspect
from pathlib import Path

import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.model.importing import commands
from talkover.model.importing.run import IMPORTERS, import_checkpoint
from talkover.model.presets.table import PUBLISHED


def test_every_importer_is_of_a_published_preset() -> None:
    assert IMPORTERS and set(IMPORTERS) <= set(PUBLISHED)


def test_the_command_has_the_settings_of_the_function() -> None:
    shown = set(inspect.signature(commands.import_checkpoint).parameters)
    known = set(inspect.signature(import_checkpoint).parameters)
    assert shown - {"as_json", "preset"} == known - {"preset_name"}


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no such folder"):
        commands.import_checkpoint(tmp_path / "none", tmp_path / "out")
    assert not (tmp_path / "out").exists()
