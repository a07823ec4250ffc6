"""Every command of the documentation is run: in a node, by the test that is named, or it is said why it cannot be."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from docs.commands import LONG, NODE, NOT_HERE, ROOT, Shown, shown
from spineps_pacs import app, settings
from spineps_pacs.cli.main import application, run
from spineps_pacs.domain.job import Job, Sending, State, Verdict
from spineps_pacs.engines.weights import embedded_folder
from spineps_pacs.phantom.study import StudyRequest, write_study
from spineps_pacs.phantom.wishes import Wishes

COMMANDS = shown()
GROUPS = {"jobs", "models", "shadow"}
"""Commands that have commands of their own."""
MAKES = sorted({one.line for one in COMMANDS if re.match(r"([A-Z_]+=\S+ )*make\b", one.line)})
SMALL = StudyRequest(wishes=Wishes(levels="L3-S1"), slices=7, pixel=2.0, slice_spacing=6.0, only_t2=True)
CONFIGURATION = """
[node]
min_free_gb = 0.01
[dicom]
port = 0
[web]
port = 0
[models]
folder = "models"
semantic = "semantic"
device = "cpu"
[[destination]]
name = "there"
kind = "folder"
folder = "there"
"""
LIGHT = {"spineps-pacs phantom": " --only-t2 --slices 5"}
"""What makes a command cheaper, so that it can be run each time."""


def where(said: str) -> list[Shown]:
    """The commands that are run there."""
    return [one for one in COMMANDS if one.where == said]


def ids(commands: list[Shown]) -> list[str]:
    return [f"{one.page}: {one.line}" for one in commands]


def test_the_pages_show_commands() -> None:
    """Many, on many pages; or the search for them is wrong."""
    assert len(COMMANDS) > 40
    assert {"README.md", "install.md", "operator.md", "care.md", "parity.md"} <= {one.page for one in COMMANDS}


@pytest.mark.parametrize("one", COMMANDS, ids=ids(COMMANDS))
def test_it_is_known_where_a_command_is_run(one: Shown) -> None:
    """Each has its place in commands.py, and a test that is named there is there."""
    assert one.where, f"{one.page}: no test runs {one.line!r}; give it a place in tests/docs/commands.py"
    if one.where.startswith(("tests/", "scripts/", "Makefile")):
        named = ROOT / one.where.split(" ", 1)[0]
        assert named.is_file()
        words = one.line.split()
        if words[0] == "spineps-pacs" and named.suffix == ".py":
            assert words[2 if words[1] in GROUPS and len(words) > 2 else 1].replace("-", "_") in named.read_text()


@pytest.mark.parametrize("one", [c for c in COMMANDS if c.line.startswith("spineps-pacs ")], ids=lambda one: one.line)
def test_our_command_line_takes_it(one: Shown) -> None:
    """The command is there, with the options that are shown; words in capitals stand for something."""
    words = shlex.split(one.line)[1:]
    if words[0].startswith("-"):
        return
    names = [word for word in words[: 2 if words[0] in GROUPS else 1] if not word.startswith("-")]
    if one.inline and len(words) == len(names):  # a mention: the command is there, its arguments are left out
        application()(f"{' '.join(names)} --help".split(), exit_on_error=False, result_action="return_value")
        return
    application().parse_args(words, exit_on_error=False, print_error=False)


class Scratch:
    """A folder in which a node once ran: study, models, results, and a job for each command."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.count = 0
        written = write_study(folder / "study", SMALL)
        embedded = embedded_folder()
        assert embedded is not None
        shutil.copytree(embedded, folder / "models")
        shutil.copytree(embedded / "semantic", folder / "models" / "second")
        (folder / "there").mkdir()
        for name in ("spineps-pacs.toml", "CHANGED.toml"):
            (folder / name).write_text(CONFIGURATION)
        self.common = app.shared(settings.load(folder / "spineps-pacs.toml"))
        self.series = written.series[0]

    def close(self) -> None:
        self.common.database.dispose()

    def words(self) -> dict[str, str]:
        """What the words in capitals stand for, with a fresh job that failed at one of its destinations."""
        self.count += 1
        verdict = Verdict(True, "taken", ())
        sendings = (Sending("there", State.DEAD_LETTER, 3, "the folder does not exist"),)
        made = Job(f"job-{self.count}", f"1.2.3.{self.count}", "1.2", "f" * 8, State.DEAD_LETTER, "MR1")
        self.common.records.add(replace(made, verdict=verdict, sendings=sendings, reason=sendings[0].reason))
        out = f"out-{self.count}"
        files = {"PATH": str(self.series), "FILE": f"{out}.nii.gz", "FILE.nii.gz": f"{out}.nii.gz", "DIR": out}
        return files | {"JOB": made.id, "SERIES_UID": made.series_uid, "MODEL": "second"}


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Scratch]:
    made = Scratch(tmp_path_factory.mktemp("docs"))
    yield made
    made.close()


def test_commands_for_a_node_run(
    scratch: Scratch, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Each ends with exit code 0 in a folder with a configuration, a study, models and a job."""
    monkeypatch.chdir(scratch.folder)
    wanted = sorted({one.line for one in where(NODE) if not one.inline or "--" in one.line or "PATH" in one.line})
    assert len(wanted) > 10
    failed = {}
    for line in wanted:
        known = scratch.words()
        words = [known.get(word, word) for word in shlex.split(line + LIGHT.get(" ".join(line.split()[:2]), ""))[1:]]
        unknown = [word for word in words if re.fullmatch(r"[A-Z_]{3,}", word) and word not in known]
        code = 0 if words == ["--help"] else run(words)
        said = capsys.readouterr()
        if code or unknown:
            failed[line] = f"{code} {unknown} {said.out[-500:]}{said.err[-500:]}"
    assert failed == {}


@pytest.mark.parametrize("line", MAKES)
def test_make_knows_what_is_shown(line: str) -> None:
    """A dry run names the recipe; what stands in angle brackets is any text."""
    words = shlex.split(re.sub(r"<[^>]*>", "address", line).replace("'", ""))
    words = [word for word in words if word == "make" or "=" in word or re.fullmatch(r"[a-z-]+", word)]
    done = subprocess.run([*words, "--dry-run"], cwd=ROOT, capture_output=True, text=True, check=False, env=_alone())
    assert done.returncode == 0, done.stderr


def _alone() -> dict[str, str]:
    """The environment without what a make above us left in it."""
    return {name: value for name, value in os.environ.items() if not name.startswith("MAKE")}


def _program(line: str) -> list[str]:
    """The words after Python: a file, or a module."""
    return shlex.split(re.sub(r"^(?:[A-Z_]+=\S+ )+", "", line))[1:]


@pytest.mark.parametrize("line", sorted({c.line for c in COMMANDS if re.match(r"([A-Z_]+=\S+ )*python3? ", c.line)}))
def test_a_program_is_there(line: str) -> None:
    """The file that Python is given, or the module, is in the repository or in the standard library."""
    words = _program(line)
    path = Path(words[1].replace(".", "/") + ".py") if words[0] == "-m" else Path(words[0])
    assert (ROOT / path).is_file() or words[1] in sys.stdlib_module_names


@pytest.mark.long
@pytest.mark.timeout(3600)
@pytest.mark.parametrize("line", sorted({one.line for one in where(LONG)}))
def test_a_program_runs(line: str) -> None:
    """Whole, as it is shown."""
    environment = _alone() | dict(pair.split("=", 1) for pair in line.split() if re.match(r"[A-Z_]+=", pair))
    command = [sys.executable, *_program(line)]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


def test_what_cannot_be_run_says_why() -> None:
    """And is really shown somewhere, so that the list stays short."""
    unused = [p for p, _ in NOT_HERE[:3] if not any(re.match(p, one.line) for one in COMMANDS)]
    assert unused == []
