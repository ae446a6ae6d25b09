from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

BROKEN_UNTIL_GUARDED = {
    "__init__.py": "from . import early\nfrom . import _extension\nfrom . import functional\n",
    "early.py": "LOADED = []\n",
    "_extension.py": "raise OSError('libc10_cuda.so: cannot open shared object file')\n",
    "functional.py": (
        "from torchaudio._extension import _IS_ALIGN_AVAILABLE, fail_if_no_align\n"
        "@fail_if_no_align\n"
        "def forced_align(x):\n    return x\n"
    ),
}


def run(script: str, *folders: Path) -> str:
    """Run a script in a fresh process and give what it prints."""
    path = os.pathsep.join([*map(str, folders), *filter(None, sys.path)])
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", script],
        env={
            **os.environ,
            "PYTHONPATH": path,
            "PYANNOTE_METRICS_ENABLED": "0",
            "HF_HUB_OFFLINE": "1",
        },
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def torchaudio(folder: Path, **files: str) -> Path:
    """A folder with a torchaudio of these files."""
    package = folder / "torchaudio"
    package.mkdir()
    for name, content in files.items():
        (package / f"{name}.py").write_text(content)
    return folder


GUARD = "from talkover.manifests.torchaudio_guard import guard_torchaudio\n"


def test_a_library_that_does_not_load_is_replaced_and_says_so_when_called(tmp_path: Path) -> None:
    files = {name.removesuffix(".py"): text for name, text in BROKEN_UNTIL_GUARDED.items()}
    script = GUARD + (
        "print(guard_torchaudio(), guard_torchaudio())\n"
        "import torchaudio.functional as f\n"
        "print(f._IS_ALIGN_AVAILABLE)\n"
        "try: f.forced_align(1)\n"
        "except RuntimeError as error: print(error)\n"
    )
    lines = run(script, torchaudio(tmp_path, **files)).splitlines()
    assert lines[:2] == ["guarded guarded", "False"]
    assert lines[2].startswith("torchaudio.forced_align needs torchaudio's compiled library")


def test_a_library_that_loads_is_left_alone(tmp_path: Path) -> None:
    folder = torchaudio(tmp_path, __init__="from . import _extension\n", _extension="NATIVE = True")
    script = GUARD + (
        "print(guard_torchaudio())\nimport torchaudio\nprint(torchaudio._extension.NATIVE)\n"
    )
    assert run(script, folder) == "native\nTrue"


def test_threads_that_race_import_it_once(tmp_path: Path) -> None:
    folder = torchaudio(tmp_path, __init__="import time\ntime.sleep(0.2)\nprint('imported')\n")
    script = GUARD + (
        "from concurrent.futures import ThreadPoolExecutor\n"
        "with ThreadPoolExecutor(8) as pool:\n"
        "    print(set(pool.map(lambda _: guard_torchaudio(), range(8))))\n"
    )
    assert run(script, folder) == "imported\n{'native'}"


def test_other_faults_are_not_hidden(tmp_path: Path) -> None:
    folder = torchaudio(tmp_path, __init__="raise KeyError('something else')\n")
    script = GUARD + "try: guard_torchaudio()\nexcept KeyError as error: print(error)\n"
    assert run(script, folder) == "'something else'"


def test_without_torchaudio_there_is_nothing_to_do() -> None:
    script = (
        "import importlib.util, sys\n"
        "find = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda name: None if name == 'torchaudio' else find(name)\n"
        + GUARD
        + "print(guard_torchaudio(), 'torchaudio' in sys.modules)\n"
    )
    assert run(script) == "absent False"


def test_importing_the_guard_loads_nothing_heavy() -> None:
    script = GUARD + "import sys\nprint({'torch', 'torchaudio', 'numpy'} & set(sys.modules))\n"
    assert run(script) == "set()"


@pytest.mark.slow
@pytest.mark.parametrize("module", ["peft", "pyannote.audio"])
def test_packages_that_need_torchaudio_import_behind_the_guard(module: str) -> None:
    if importlib.util.find_spec(module.partition(".")[0]) is None:
        pytest.skip(f"{module} is not installed")
    script = GUARD + f"print(guard_torchaudio())\nimport {module}\nprint({module}.__name__)\n"
    lines = run(script).splitlines()
    assert lines[0] in ("native", "guarded")
    assert lines[-1] == module
