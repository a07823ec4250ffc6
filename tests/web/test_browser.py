"""A person before the page: a real browser, a real node, a study that goes in while they look."""

from __future__ import annotations

import io
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import requests
from PIL import Image

from spineps_pacs.domain.job import State
from spineps_pacs.intake.serving import Serving
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from web.axe import violations
from web.board_twin import TwinBoard, job
from web.live_node import LiveNode, archive, eventually, live_node, send

FLAGS = (
    "--no-sandbox", "--disable-quic", "--disable-gpu", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
WAIT_MS = 240_000
COUNT_HELD = """() => { window.held = 0;
  document.addEventListener("htmx:beforeRequest", (event) => { window.held += event.defaultPrevented; }); }"""
"""Counts how often the page would have renewed itself."""


class Watched:
    """The page, and what went wrong on it."""

    def __init__(self, page: Any, host: str, shots: Path) -> None:
        self.page = page
        self.shots = shots
        self.errors: list[str] = []
        self.foreign: list[str] = []
        page.set_default_timeout(WAIT_MS)
        page.on("console", lambda m: self.errors.append(m.text) if m.type == "error" else None)
        page.on("pageerror", lambda e: self.errors.append(str(e)))
        page.on("request", lambda r: None if r.url.startswith(host) else self.foreign.append(r.url))

    def fine(self, name: str) -> None:
        """No serious violation on the page as it stands, dark and light; a picture of it for the documentation."""
        for scheme in ("dark", "light"):
            self.page.emulate_media(color_scheme=scheme)
            assert violations(self.page) == [], scheme
        self.page.screenshot(
            path=self.shots / f"page-{name}.png", full_page=name not in ("series", "result", "skipped")
        )


@contextmanager
def browser(address: str, shots: Path) -> Iterator[Watched]:
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=list(FLAGS))
        context = chromium.new_context(viewport={"width": 1200, "height": 800}, color_scheme="light")
        yield Watched(context.new_page(), address, shots)
        chromium.close()


@pytest.mark.real("chromium")
@pytest.mark.timeout(1200)
def test_a_person_sees_it_all(tmp_path: Path, shots: Path) -> None:
    """States appear by themselves, the verdict is readable, a dead letter is retried and arrives, nothing is amiss."""
    with live_node(tmp_path) as node, browser(node.address, shots) as watched:
        page = watched.page
        page.goto(f"{node.address}/")
        page.evaluate("window.neverReloaded = true")
        for folder in node.series.values():
            send(node, folder)
        page.wait_for_selector(".counts >> text=/analysing|analysed|delivering|dead letter/")
        watched.fine("now")
        page.wait_for_selector(".counts >> text=skipped")
        page.wait_for_selector(".counts >> text=dead letter")
        assert page.evaluate("window.neverReloaded") is True
        _verdict_is_readable(watched, node)
        _result_is_right(watched, node)
        _other_pages(watched, node)
        _dead_letter_is_retried(watched, node)
        assert watched.errors == []
        assert watched.foreign == []


def _verdict_is_readable(watched: Watched, node: LiveNode) -> None:
    page = watched.page
    page.goto(f"{node.address}/series?state=skipped")
    watched.fine("series")
    page.locator("tbody a").first.click()
    page.wait_for_selector("caption >> text=Verdict: not taken")
    assert page.locator("td .bad").count() >= 1
    watched.fine("skipped")


def _result_is_right(watched: Watched, node: LiveNode) -> None:
    """Picture and overlay lie on each other; where the table says L3's colour, the overlay has it; the slider moves."""
    page = watched.page
    job = requests.get(f"{node.address}/api/jobs", {"state": "dead letter"}, timeout=20).json()["jobs"][0]["id"]
    page.goto(f"{node.address}/series/{job}/result")
    watched.fine("result")
    slice_box, overlay_box = page.locator("#slice").bounding_box(), page.locator("#overlay").bounding_box()
    assert slice_box == overlay_box
    source = page.locator("#overlay").get_attribute("src")
    _levels_run_down(requests.get(node.address + source, timeout=20).content, node, job)
    slider = page.locator("#slider")
    slider.focus()
    page.keyboard.press("ArrowRight")
    assert page.locator("#overlay").get_attribute("src") != source
    page.wait_for_function("() => document.getElementById('overlay').naturalWidth > 0")


def _levels_run_down(png: bytes, node: LiveNode, job: str) -> None:
    """Each vertebra's colour is on the overlay, and their centres run from top to bottom as their names do."""
    pixels = np.asarray(Image.open(io.BytesIO(png)).convert("RGBA"))
    report = requests.get(f"{node.address}/api/jobs/{job}/report", timeout=20).json()
    found = [level for level in report["levels"]["found"] if level["kind"] == "vertebra"]
    heights = []
    for level in found:
        rows = np.argwhere((pixels[..., :3] == level["rgb"]).all(axis=-1) & (pixels[..., 3] > 0))
        if len(rows):
            heights.append(float(rows[:, 0].mean()))
    assert len(heights) >= 5
    assert heights == sorted(heights)
    assert (pixels[..., 3] == 0).mean() > 0.4


def _other_pages(watched: Watched, node: LiveNode) -> None:
    for name in ("health", "drift"):
        watched.page.goto(f"{node.address}/{name}")
        watched.fine(name)


def _dead_letter_is_retried(watched: Watched, node: LiveNode) -> None:
    """The PACS comes up, a person presses Retry, and the page says by itself that nothing is left."""
    page = watched.page
    page.goto(f"{node.address}/trouble")
    page.wait_for_selector("text=cannot be reached")
    watched.fine("trouble")
    with archive(node) as received:
        page.get_by_role("button", name="Retry").first.click()
        page.wait_for_selector("#said >> text=Retried: 1 series")
        page.wait_for_selector("text=No series has failed")
        eventually(lambda: {d.Modality for d in received} >= {"SEG", "SR"})


@pytest.fixture
def served() -> Iterator[tuple[TwinBoard, str]]:
    """A board in memory with several models, and where its pages are."""
    board = TwinBoard(several=True)
    serving = Serving(site(Desk(board)), "127.0.0.1", 0)
    yield board, f"http://127.0.0.1:{serving.start()}"
    serving.stop()


@pytest.mark.real("chromium")
def test_a_person_chooses_models_in_peace(served: tuple[TwinBoard, str], tmp_path: Path) -> None:
    """By keyboard alone; the page holds still meanwhile, and renews itself again once the button was pressed."""
    board, address = served
    with browser(address, tmp_path) as watched:
        page = watched.page
        page.goto(f"{address}/trouble")
        before = page.locator(".group").count()
        page.locator("#ticked-job-5").focus()
        page.keyboard.press("Space")
        board.kept.append(job("job-8", State.FAILED, reason="another trouble"))
        page.evaluate(COUNT_HELD)
        page.wait_for_function("() => window.held >= 2")
        assert page.locator(".group").count() == before
        assert not page.locator("#ticked-job-5").is_checked()
        page.locator("#semantic-1").select_option("second")
        page.locator("#rerun-1").focus()
        page.keyboard.press("Enter")
        page.wait_for_selector("#said >> text=Started anew: 1 series")
        assert board.done == [("rerun with second", "job-6")]
        page.wait_for_selector("text=another trouble")
        assert violations(page) == []
        assert watched.errors == []
        assert watched.foreign == []
