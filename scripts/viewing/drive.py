"""Drives a real browser through OHIF: opens a study, loads each SEG and the SR, and writes down what it sees.

Run inside a network namespace of its own (Orthanc binds every address). Prints nothing; writes seen.json and pictures.
"""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from playwright.sync_api import Page, sync_playwright

from scripts.viewing.interior import Spot, spots
from scripts.viewing.ohif import dist
from scripts.viewing.origin import serving
from scripts.viewing.orthanc_server import OrthancOptions, get, running, upload

FLAGS = (
    "--no-sandbox", "--disable-quic", "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader",
    "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync",
)  # fmt: skip
PICTURES = {"seg-levels": "ohif", "seg-structures": "ohif-structures", "report": "ohif-report"}
"""What is photographed, and the picture's name in the documentation."""
PATIENCE_MS = 120_000
LOOK_MS, LOOKS, COLOURED = 125, 80, 25
"""How often a pixel is looked at until it has a colour (largest less smallest of red, green and blue)."""
HARMLESS = ("ERR_ABORTED", "favicon", "GPU stall", "Failed to load resource: net::ERR_ABORTED")

_SHOW = """uid => {
  const engine = window.cornerstone.getRenderingEngines()[0];
  const viewport = engine.getViewports()[0];
  const ids = viewport.getImageIds();
  const at = ids.findIndex(id => id.includes(uid));
  if (at < 0) return null;
  return Promise.resolve(viewport.setImageIdIndex(at)).then(() => { viewport.render(); return at; });
}"""

_HUE = """point => {
  const viewport = window.cornerstone.getRenderingEngines()[0].getViewports()[0];
  const [x, y] = viewport.worldToCanvas(point);
  const ratio = window.devicePixelRatio || 1;
  const context = viewport.canvas.getContext('2d', {willReadFrequently: true});
  return Array.from(context.getImageData(Math.round(x * ratio), Math.round(y * ratio), 1, 1).data);
}"""

_SEGMENTS = """() => window.services.segmentationService.getSegmentations().map(s => ({
  id: s.segmentationId, label: s.label,
  segments: Object.values(s.segments).map(g => ({index: g.segmentIndex, label: g.label}))
}))"""


@dataclass(frozen=True)
class Seen:
    """What one segment looked like: its label, the colour that it should have, and the pixel at its interior point."""

    label: str
    rgb: tuple[int, int, int]
    pixel: tuple[int, ...]


@contextmanager
def browser(pictures: Path, address: str) -> Iterator[tuple[Page, list[str]]]:
    """Chromium on OHIF, its tours dismissed; gives the page and the console's errors as they come."""
    pictures.mkdir(parents=True, exist_ok=True)
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        context = chromium.new_context(viewport={"width": 1500, "height": 900})
        context.add_init_script("localStorage.setItem('shownTours', JSON.stringify(['basicViewerTour']))")
        page = context.new_page()
        page.set_default_timeout(PATIENCE_MS)
        errors: list[str] = []
        page.on("console", lambda m: errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: errors.append(str(e)))
        page.goto(address)
        yield page, errors
        chromium.close()


def open_study(page: Page, address: str, study_uid: str) -> None:
    """Opens the study in the viewer and waits for its first picture."""
    page.goto(f"{address}/viewer?StudyInstanceUIDs={study_uid}")
    page.wait_for_selector("canvas.cornerstone-canvas")
    page.wait_for_function(
        "() => window.cornerstone.getRenderingEngines()[0]?.getViewports()[0]?.getImageIds?.().length"
    )


def load(page: Page, series_uid: str) -> None:
    """Loads the series as a reader does, by a double click on its thumbnail."""
    found = page.evaluate(
        "uid => window.services.displaySetService.getActiveDisplaySets()"
        ".find(d => d.SeriesInstanceUID === uid)?.displaySetInstanceUID",
        series_uid,
    )
    thumbnail = page.locator(f"#thumbnail-{found}").first
    thumbnail.scroll_into_view_if_needed()
    thumbnail.dblclick()


def look(page: Page, spot: Spot) -> Seen:
    """Goes to the slice of the spot and reads the pixel that lies on it, as soon as it has a colour and keeps it."""
    page.evaluate(_SHOW, spot.image_uid)
    pixel: list[int] = [0, 0, 0]
    for _ in range(LOOKS):
        page.wait_for_timeout(LOOK_MS)
        before, pixel = pixel, page.evaluate(_HUE, spot.point)
        if pixel == before and max(pixel[:3]) - min(pixel[:3]) > COLOURED:
            break
    return Seen(spot.label, spot.rgb, tuple(pixel))


def watch_segmentation(page: Page, seg: Path, picture: Path) -> dict[str, Any]:
    """Loads one SEG; says which segments are listed and what their interior points show."""
    series_uid, all_spots = spots(seg)
    load(page, series_uid)
    wanted = len(all_spots)
    page.wait_for_function(
        f"() => window.services.segmentationService.getSegmentations()"
        f".some(s => Object.keys(s.segments).length >= {wanted})",
    )
    page.wait_for_timeout(3000)
    listed = page.evaluate(_SEGMENTS)
    seen = [look(page, spot).__dict__ for spot in all_spots]
    page.evaluate(_SHOW, all_spots[len(all_spots) // 2].image_uid)
    page.wait_for_timeout(500)
    page.screenshot(path=str(picture))
    return {"series": series_uid, "listed": listed, "seen": seen}


def watch_report(page: Page, report: Path, picture: Path) -> dict[str, Any]:
    """Opens the SR; says which rows the measurement panel shows."""
    import pydicom

    load(page, str(pydicom.dcmread(report, stop_before_pixels=True).SeriesInstanceUID))
    page.wait_for_function("() => window.services.measurementService.getMeasurements().length")
    page.wait_for_timeout(6000)
    rows = page.evaluate(
        "() => window.services.measurementService.getMeasurements()"
        ".map(m => ({label: m.label, finding: m.finding?.CodeMeaning ?? m.finding?.text ?? null,"
        " sites: (m.findingSites ?? []).map(s => s.CodeMeaning ?? s.text)}))"
    )
    page.screenshot(path=str(picture))
    return {
        "rows": rows,
        "panel": page.locator("[data-cy='trackedMeasurements-panel'], [data-cy='data-row']").all_inner_texts(),
    }


def visit(study: Path, out: Path, build: Path) -> dict[str, Any]:
    """The whole visit: Orthanc with the study, OHIF before it, every SEG and SR of the study looked at."""
    segs = sorted(study.rglob("*seg*.dcm"))
    reports = sorted(study.rglob("*report*.dcm"))
    with running(OrthancOptions(out / "orthanc")) as orthanc:
        upload(orthanc, study)
        study_uid = get(orthanc, "/studies/" + get(orthanc, "/studies")[0])["MainDicomTags"]["StudyInstanceUID"]
        with serving(dist(build), orthanc) as address, browser(out, address) as (page, errors):
            seen: dict[str, Any] = {"segmentations": {}, "reports": {}}
            for seg in segs:
                open_study(page, address, study_uid)
                seen["segmentations"][seg.name] = watch_segmentation(page, seg, out / f"{seg.stem}.png")
            for report in reports:
                open_study(page, address, study_uid)
                seen["reports"][report.name] = watch_report(page, report, out / f"{report.stem}.png")
            seen["errors"] = [e for e in errors if not any(h in e for h in HARMLESS)]
    return seen


def keep_pictures(out: Path, folder: Path) -> None:
    """The pictures under their names in the documentation, with a palette, which makes them a third as large."""
    from PIL import Image

    for name, target in PICTURES.items():
        with Image.open(out / f"{name}.png") as picture:
            picture.convert("RGB").quantize(256).save(folder / f"{target}.png", optimize=True)


def main() -> None:
    """Reads the arguments, brings the loopback up, visits, writes seen.json."""
    parser = argparse.ArgumentParser()
    parser.add_argument("study", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--build", type=Path, default=Path("build"))
    parser.add_argument("--pictures", type=Path, help="folder for the pictures of the documentation")
    given = parser.parse_args()
    subprocess.run(["ip", "link", "set", "lo", "up"], check=False)
    given.out.mkdir(parents=True, exist_ok=True)
    given.out.joinpath("seen.json").write_text(json.dumps(visit(given.study, given.out, given.build), indent=1))
    if given.pictures is not None:
        keep_pictures(given.out, given.pictures)


if __name__ == "__main__":
    main()
