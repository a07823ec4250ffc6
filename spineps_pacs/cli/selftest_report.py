"""The acceptance report of a self-test: one HTML file with everything in it, pictures and versions too."""

from __future__ import annotations

import base64
import json
import platform
from collections.abc import Sequence
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment

from spineps_pacs.cli.check_line import Line

if TYPE_CHECKING:
    from spineps_pacs.cli.selftest import Finished

LIBRARIES = ("spineps-pacs", "pydicom", "pynetdicom", "highdicom", "numpy", "dbos", "SQLAlchemy")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Acceptance report of spineps-pacs</title>
<style>
body { font: 11pt/1.45 sans-serif; margin: 2cm; } table { border-collapse: collapse; margin: .5em 0 1.5em; }
th, td { text-align: left; border-bottom: 1px solid #bbb; padding: .2em .6em; vertical-align: top; }
.layers { position: relative; display: inline-block; background: #000; } .layers img { display: block; height: 12cm; }
.layers .over { position: absolute; inset: 0; } .wrong { color: #a40e26; font-weight: bold; }
</style></head><body>
<h1>Acceptance report</h1>
<p><b>{{ "Passed" if passed else "Not passed" }}</b>: {{ lines|length }} things looked at, {{ wrong }} not right.
{{ at }} UTC. The study was made up (patient PHANTOM^…); no image of a person was used.</p>
<table><tr><th>What</th><th>Right</th><th>Found</th><th>What to do</th></tr>
{% for line in lines %}<tr><td>{{ line.name }}</td><td{% if not line.right %} class="wrong"{% endif %}>
{{ "yes" if line.right else "NO" }}</td><td>{{ line.found }}</td><td>{{ "" if line.right else line.advice }}</td></tr>
{% endfor %}</table>
{% if levels %}<h2>Levels</h2>
<table><tr><th>Level</th><th>Confidence</th></tr>
{% for level in levels %}<tr><td>{{ level.label }}</td>
<td>{{ "–" if level.confidence is none else "%.0f %%"|format(100 * level.confidence) }}</td></tr>{% endfor %}</table>
<p>In the made-up spine: {{ truth|join(", ") }}.</p>{% endif %}
{% if base %}<h2>Picture</h2><div class="layers"><img alt="Middle slice" src="{{ base }}">
<img class="over" alt="Overlay of the levels" src="{{ over }}"></div>{% endif %}
<h2>Versions</h2>
<table>{% for name, number in versions %}<tr><td>{{ name }}</td><td>{{ number }}</td></tr>{% endfor %}
{% for m in models %}<tr><td>{{ m.role }} model</td>
<td>{{ m.name }} {{ m.version }} {{ m.digest }}</td></tr>{% endfor %}
</table>
<p>For research; not a medical device.</p>
</body></html>
"""


def write_report(out: Path, finished: Finished, lines: Sequence[Line], data_folder: Path) -> Path:
    """Writes report.html into a folder; gives its path."""
    out.mkdir(parents=True, exist_ok=True)
    path = (out / "report.html").resolve()
    wrong = sum(not line.right for line in lines)
    facts = {"lines": lines, "wrong": wrong, "passed": not wrong, "truth": finished.truth_levels}
    facts |= {"at": datetime.now(UTC).strftime("%Y-%m-%d %H:%M"), "versions": _versions()}
    facts |= _result(data_folder / "pages" / finished.job.id)
    path.write_text(Environment(autoescape=True).from_string(PAGE).render(**facts), encoding="utf-8")
    return path


def _versions() -> list[tuple[str, str]]:
    return [("Python", platform.python_version()), *((name, version(name)) for name in LIBRARIES)]


def _result(folder: Path) -> dict[str, Any]:
    """Levels, models and the middle picture of the result; nothing where there is none."""
    if not (folder / "report.json").is_file():
        return {"levels": [], "models": [], "base": "", "over": ""}
    report = json.loads((folder / "report.json").read_text(encoding="utf-8"))
    middle = json.loads((folder / "pictures.json").read_text(encoding="utf-8"))["middle"]
    base, over = (_inline(folder / f"sagittal-{middle}{end}.png") for end in ("", "-overlay"))
    levels = [level for level in report["levels"]["found"] if level["kind"] == "vertebra"]
    return {"levels": levels, "models": report["models"], "base": base, "over": over}


def _inline(path: Path) -> str:
    return f"data:image/png;base64,{base64.b64encode(path.read_bytes()).decode()}"
