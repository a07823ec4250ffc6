"""The commands that the documentation shows, and for each which test runs it and how."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md")))
_FENCE = re.compile(r"^ *```([a-z]*)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
_INLINE = re.compile(r"(?<!`)`([^`\n]+)`(?!`)")
_SHELL = ("", "sh", "bash", "console")
_BEGINNING = re.compile(
    r"(?:sudo |\$ |[A-Z_]+=\S+ )*(?:\.venv/bin/)?"
    r"(spineps-pacs|make|python3?|pip|docker|podman|kubectl|apt|apt-get|systemctl|psql|pg_dump|curl)\s"
)

NODE = "a node that has received and failed, tests/docs/test_commands.py"
DRY = "make's own dry run, tests/docs/test_commands.py"
LONG = "make test-long, tests/docs/test_commands.py"

WHERE: tuple[tuple[str, str], ...] = (
    (r"spineps-pacs (status|explain|check|support-bundle|inspect|volume|phantom|--help|--version)\b", NODE),
    (r"spineps-pacs jobs (list|show|retry|cancel|rerun)\b", NODE),
    (r"spineps-pacs models (list|verify)\b", NODE),
    (r"spineps-pacs serve\b", "tests/walk/test_care.py"),
    (r"spineps-pacs worker\b", "tests/orthanc/test_plugin.py"),
    (r"spineps-pacs fetch\b", "tests/walk/test_fetch.py"),
    (r"spineps-pacs jobs recall\b", "tests/walk/test_recall.py"),
    (r"spineps-pacs jobs reveal\b", "tests/test_auditing.py"),
    (r"spineps-pacs models (install|remove)\b", "tests/cli/test_models.py"),
    (r"spineps-pacs segment\b", "tests/cli/test_segment.py"),
    (r"spineps-pacs batch\b", "tests/cli/test_batch.py"),
    (r"spineps-pacs label\b", "tests/cli/test_label.py"),
    (r"spineps-pacs bench\b", "tests/cli/test_bench_command.py"),
    (r"spineps-pacs selftest\b", "tests/cli/test_selftest.py"),
    (r"spineps-pacs shadow report\b", "tests/cli/test_shadow.py"),
    (r"python3? scripts/dependency_audit\.py", "tests/test_dependency_audit.py"),
    (r"python3? -m tests\.fuzz\.campaign\b", "tests/fuzz/test_broken_files.py"),
    (r"spineps-pacs evaluate\b", "tests/evaluation/test_files.py"),
    (r"curl .*/spineps/", "tests/orthanc/test_plugin.py"),
    (r"make demo\b", "tests/cli/test_demo.py"),
    (r"make docs\b", "scripts/check"),
    (r"make bench\b", "tests/cli/test_bench_command.py"),
    (r"make test-orthanc-matrix\b", "tests/orthanc/test_plugin.py"),
    (r"make images\b", "scripts/site-trial"),
    (r"make parity\b", "tests/parity/test_golden.py"),
    (r"make\b", DRY),
    (r"python3? -m venv\b", "scripts/check-python"),
    (r"python3? (-m )?tests[./]parity\b", "tests/parity/test_golden.py"),
    (r"python3? -m training\.evaluate_default( --quick)?$", "make model-eval, which compares with the committed table"),
    (r"python3? -m training\.small_fov\w*", "tests/training/test_small_fov_training.py"),
    (r"python3? -m training\b", "tests/training/test_recipe.py"),
    (r"python3? scripts/measurement_table\.py", LONG),
    (r"python3? scripts/second_opinion_table\.py", LONG),
    (r"python3? -m scripts\.(page_times|conformance_tables|measurement_predicted)\b", LONG),
    (r"python3? tests/encode/measure_outputs\.py 20$", LONG),
    (r"scripts/check\b", "Makefile"),
)
"""The first pattern that a command begins with says where it is run; a file must be there."""

NOT_HERE: tuple[tuple[str, str], ...] = (
    (r"(sudo )?apt(-get)? ", "changes the machine; scripts/system-tools does the same in make tools"),
    (r"(useradd|install -|systemctl|/opt/)", "needs root and systemd"),
    (r"(sqlite3|rsync|rm -f /var|cp /backup|pg_)", "tests/walk/test_care.py backs up and restores the same way"),
    (r"(docker|podman|kubectl|helm)\b", "needs a container engine"),
    (r"pip\b", "needs a package index"),
)
"""What a test cannot run, with the reason."""


@dataclass(frozen=True)
class Shown:
    """A command, and the page that shows it."""

    page: str
    line: str
    inline: bool = False

    @property
    def where(self) -> str:
        """Where it is run, or why it is not; empty when nobody said."""
        bare = re.sub(r"^(?:[A-Z_]+=\S+ )+", "", self.line)
        return next((said for pattern, said in (*NOT_HERE, *WHERE) if re.match(pattern, bare)), "")


def shown() -> list[Shown]:
    """Every command of every page, each once a page, in order."""
    found = [one for page in PAGES for one in _of(page)]
    return list(dict.fromkeys(found))


def _of(page: Path) -> Iterator[Shown]:
    text = page.read_text(encoding="utf-8")
    for language, block in _FENCE.findall(text):
        if language in _SHELL:
            for line in _lines(block):
                if language or _BEGINNING.match(line + " "):
                    yield Shown(page.name, line)
    for code in _INLINE.findall(_FENCE.sub("", text)):
        if _BEGINNING.match(code):
            yield Shown(page.name, _bare(code), inline=True)


def _lines(block: str) -> Iterator[str]:
    """Logical lines, without remarks and prompts."""
    for line in block.replace("\\\n", " ").splitlines():
        bare = _bare(line)
        if bare:
            yield bare


def _bare(line: str) -> str:
    """Without a remark, a prompt, the brackets of what may be left out, and the folder of the environment."""
    line = re.split(r"(?:^|\s)#\s", line, maxsplit=1)[0].strip().removeprefix("$ ")
    return re.sub(r"\s+", " ", line.replace(".venv/bin/", "").replace("[", "").replace("]", "")).strip()
