"""What the audit trail hears of the operator's page: who came in or was refused, which button was pressed on what."""

from __future__ import annotations

from dataclasses import dataclass, field

import pytest
from starlette.testclient import TestClient

from spineps_pacs.domain.audit import (
    CANCELLED,
    LOGIN,
    LOGOUT,
    PROCEDURE,
    RERUN,
    RETRIED,
    USER_AUTHENTICATION,
    AuditEvent,
    Code,
)
from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.web.guard import Access
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from web.board_twin import NOW, TwinBoard
from web.test_pages import TOKEN, csrf_of


@dataclass
class Trail:
    """Keeps what it is told; it can be full."""

    heard: list[AuditEvent] = field(default_factory=list)
    full: bool = False

    def __call__(self, event: AuditEvent) -> None:
        if self.full:
            raise TryAgain("the audit trail cannot be written")
        self.heard.append(event)

    def kinds(self) -> list[tuple[Code | None, bool]]:
        return [(event.kind, event.succeeded) for event in self.heard]


def browser_of(trail: Trail, board: TwinBoard | None = None, access: Access | None = None) -> TestClient:
    desk = Desk(board or TwinBoard(), access or Access(), clock=lambda: NOW, audit=trail)
    return TestClient(site(desk), "http://127.0.0.1", follow_redirects=False)


def test_logins_are_told() -> None:
    """Entered, refused and left, with the address and never the token; who guesses is told once a second."""
    trail = Trail()
    browser = browser_of(trail, access=Access(TOKEN))
    token = csrf_of(browser, "/login")
    for _ in range(20):
        assert browser.post("/login", data={"token": "wr0ng", "csrf": token}).status_code == 403
    refused = [event for event in trail.heard if not event.succeeded]
    assert 1 <= len(refused) < 20
    trail.heard.clear()
    assert browser.post("/login", data={"token": TOKEN, "csrf": token}).status_code == 303
    assert browser.post("/logout", data={"csrf": token}).status_code == 303
    assert trail.kinds() == [(LOGIN, True), (LOGOUT, True)]
    for event in (*refused, *trail.heard):
        assert (event.event, event.address) == (USER_AUTHENTICATION, "testclient")
        assert not {TOKEN, "wr0ng"} & set(vars(event).values())


@pytest.mark.parametrize(("name", "code"), [("retry", RETRIED), ("cancel", CANCELLED), ("rerun", RERUN)])
def test_every_button_is_told(name: str, code: Code) -> None:
    """Of a page and of the interface: who pressed it, and of which study; once for each series."""
    trail, board = Trail(), TwinBoard()
    access = Access(TOKEN, proxy="testclient")
    browser, named = browser_of(trail, board, access), {"x-forwarded-user": "mtra\x7f"}
    token = csrf_of(browser, "/login")
    assert (
        browser.post(f"/do/{name}", data={"jobs": ["job-5", "job-6"], "csrf": token}, headers=named).status_code == 200
    )
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert browser.post(f"/api/jobs/job-3/{name}", headers=bearer).status_code == 202
    assert [event.user for event in trail.heard] == ["mtra", "mtra", "operator"]
    assert {(e.event, e.action, e.kind, e.study_uid, e.succeeded) for e in trail.heard} == {
        (PROCEDURE, "U", code, "1.2.3", True)
    }
    assert len(board.done) == 3


def test_a_refused_button_is_told_as_refused() -> None:
    """Its outcome follows what was told when it was pressed."""
    trail = Trail()
    browser = browser_of(trail, TwinBoard(refuses="its data was erased"))
    browser.post("/do/cancel", data={"jobs": "job-3", "csrf": csrf_of(browser)})
    assert trail.kinds() == [(CANCELLED, True), (CANCELLED, False)]


def test_nothing_is_done_that_cannot_be_told() -> None:
    """Where the trail takes nothing, nobody comes in, and no button works; the reason is said."""
    trail, board = Trail(full=True), TwinBoard()
    browser = browser_of(trail, board, Access(TOKEN))
    token = csrf_of(browser, "/login")
    answer = browser.post("/login", data={"token": TOKEN, "csrf": token})
    assert (answer.status_code, "cannot be written" in answer.text) == (503, True)
    bearer = {"authorization": f"Bearer {TOKEN}"}
    assert browser.post("/api/jobs/job-3/cancel", headers=bearer).status_code == 409
    assert board.done == []
