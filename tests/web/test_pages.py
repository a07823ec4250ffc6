"""The pages over a board in memory: what they say, who may see them, what a POST needs."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from spineps_pacs.domain.job import State
from spineps_pacs.web import words
from spineps_pacs.web.guard import Access, session_cookie, session_holds
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import site
from web.board_twin import NOW, UID, TwinBoard, job

PAGES = ("/", "/series", "/series/job-2", "/series/job-4", "/series/job-4/result", "/trouble", "/health", "/drift")
TOKEN = "a-long-secret"


def client(board: TwinBoard | None = None, access: Access | None = None, show_patient: bool = False) -> TestClient:
    desk = Desk(board or TwinBoard(), access or Access(), show_patient, lambda: NOW)
    return TestClient(site(desk), "http://127.0.0.1", follow_redirects=False)


def csrf_of(browser: TestClient, page: str = "/trouble") -> str:
    return re.findall(r'name="csrf" value="([0-9a-f]{64})"', browser.get(page).text)[0]


class Tags(HTMLParser):
    """Which tags with which attributes a page has."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@pytest.mark.parametrize("page", PAGES)
def test_every_page_keeps_to_its_own_policy(page: str, tmp_path: Path) -> None:
    """No inline script or style, no other host, one heading of the first rank, a label for each field."""
    answer = client(TwinBoard(folder=tmp_path)).get(page)
    assert answer.status_code == 200
    assert "script-src 'self'" in answer.headers["content-security-policy"]
    tags = Tags(answer.text).tags
    assert all("style" not in attrs and not any(name.startswith("on") for name in attrs) for _, attrs in tags)
    assert all(attrs.get("src") for tag, attrs in tags if tag == "script")
    addresses = [value for _, attrs in tags for key in ("src", "href", "action") if (value := attrs.get(key))]
    assert addresses
    assert all(address.startswith(("/", "#", "?")) and not address.startswith("//") for address in addresses)
    assert [tag for tag, _ in tags].count("h1") == 1
    assert "no-store" in answer.headers["cache-control"]


@pytest.mark.parametrize("page", PAGES)
def test_no_page_tells_a_whole_uid_or_a_patient(page: str) -> None:
    """UIDs are shortened; the patient appears only where the site switched it on."""
    board = TwinBoard(patient="DOE^JANE (4711)")
    shown = client(board).get(page).text
    assert UID not in shown
    assert "DOE" not in shown
    assert "4711" not in shown


def test_a_site_may_show_patients() -> None:
    """show_patient puts name and id on the page of a series, and nowhere else."""
    browser = client(TwinBoard(patient="DOE^JANE (4711)"), show_patient=True)
    assert "DOE^JANE (4711)" in browser.get("/series/job-4").text
    assert "DOE" not in browser.get("/series").text


def test_the_verdict_of_a_skipped_series_is_readable() -> None:
    """Every rule with value, limit and outcome."""
    shown = client().get("/series/job-2").text
    assert "not taken: not T2 weighted: TE 11 ms &lt; 60 ms" in shown
    assert re.search(r"T2 weighting</th><td><span[^>]*>failed</span></td><td[^>]*>TE 11 ms</td><td>≥ 60 ms", shown)
    assert re.search(r"modality</th><td><span[^>]*>passed", shown)


def test_what_others_named_is_shown_as_text() -> None:
    """An AE title that looks like HTML stays text."""
    shown = client().get("/trouble").text
    assert "&lt;b&gt;MR2" in shown
    assert "<b>MR2" not in shown


def test_now_shows_phase_progress_and_what_is_left() -> None:
    """A quarter of an analysis that takes 80 s is done: a minute is left."""
    shown = client().get("/").text
    assert "semantic" in shown
    assert "25 %" in shown
    assert "1 min 0 s" in shown


def test_now_shows_what_is_arriving() -> None:
    """Who sends it, and how many images are here."""
    shown = client().get("/").text
    assert re.search(r"Arriving</caption>.*MR1</td><td class=\"number\">7</td>", shown, re.DOTALL)


def test_a_live_part_is_sent_only_when_it_changed() -> None:
    """The address of the part carries what the browser has; the same again is 204, a changed state is new HTML."""
    board = TwinBoard()
    browser = client(board)
    address = re.findall(r'hx-get="([^"]+)"', browser.get("/").text)[0].replace("&amp;", "&")
    assert browser.get(address).status_code == 204
    board.kept.append(job("job-9", State.WAITING))
    changed = browser.get(address)
    assert changed.status_code == 200
    assert "waiting" in changed.text
    again = re.findall(r'hx-get="([^"]+)"', changed.text)[0].replace("&amp;", "&")
    assert browser.get(again).status_code == 204


@pytest.mark.parametrize("part", ["one", "nothing", "series/nobody"])
def test_a_part_that_is_not_there_is_missing(part: str) -> None:
    """Also the part of one series, asked for without naming any."""
    assert client().get(f"/parts/{part}").status_code == 404


@pytest.mark.parametrize(
    ("query", "names"),
    [("state=skipped", {"job-2"}), ("reason=slice", {"job-5", "job-6"}), ("source=MR1&state=failed", {"job-6"}),
     ("since=2026-05-01&until=2026-06-01", {f"job-{n}" for n in range(1, 7)}), ("until=2020-01-01", set()),
     ("state=nonsense&page=x&since=soon", {f"job-{n}" for n in range(1, 7)})],
)  # fmt: skip
def test_the_list_is_filtered(query: str, names: set[str]) -> None:
    """State, source, reason and day; what makes no sense filters nothing. The live part filters alike."""
    browser = client()
    for path in ("/series", "/parts/series"):
        assert set(re.findall(r'href="/series/(job-\d)"', browser.get(f"{path}?{query}").text)) == names


def test_the_list_has_pages() -> None:
    """Fifty a page, with links that keep the filter."""
    board = TwinBoard([job(f"job-{n}", State.FAILED) for n in range(120)])
    shown = client(board).get("/series?state=failed&page=2").text
    assert "120 series, page 2 of 3" in shown
    assert {"?state=failed&amp;page=1", "?state=failed&amp;page=3"} <= set(re.findall(r'href="/series([^"]+)"', shown))


def test_troubles_are_gathered_by_reason_with_advice() -> None:
    """Two series that lack a slice are one trouble; an unreachable archive is another, with what to do."""
    shown = client().get("/trouble").text
    assert "2 × slice … of … is missing" in shown
    assert "send the series again complete" in " ".join(shown.split())
    assert "Check the network and whether the destination runs" in " ".join(shown.split())


def test_a_post_needs_the_token_of_a_page() -> None:
    """Without it, with a wrong one, or from another site nothing is done; with it the button works, also for many."""
    board = TwinBoard()
    browser = client(board)
    token = csrf_of(browser)
    assert browser.post("/do/retry", data={"jobs": "job-3"}).status_code == 403
    assert browser.post("/do/retry", data={"jobs": "job-3", "csrf": "0" * 64}).status_code == 403
    foreign = {"origin": "https://elsewhere.example"}
    assert browser.post("/do/retry", data={"jobs": "job-3", "csrf": token}, headers=foreign).status_code == 403
    assert board.done == []
    fine = browser.post("/do/rerun", data={"jobs": ["job-5", "job-6"], "csrf": token})
    assert fine.status_code == 200
    assert "Started anew: 2 series" in fine.text
    assert board.done == [("rerun", "job-5"), ("rerun", "job-6")]


def test_a_re_run_takes_the_models_that_are_chosen() -> None:
    """Where there is a choice each page offers it, for one series and for many; nothing chosen is the node's own."""
    board = TwinBoard(several=True)
    browser = client(board)
    for page in ("/series/job-5", "/trouble"):
        shown = browser.get(page).text
        assert "Semantic model" in shown
        assert "<option>second</option>" in shown
    sent = {"csrf": csrf_of(browser), "jobs": ["job-5", "job-6"]}
    browser.post("/do/rerun", data=sent | {"models": "second"})
    browser.post("/do/rerun", data=sent | {"models": ""})
    both = ["rerun with second", "rerun with its own"]
    assert board.done == [(what, job) for what in both for job in ("job-5", "job-6")]
    assert "<select" not in client().get("/series/job-5").text


def test_a_refused_button_says_why() -> None:
    """The reason stands beside the series."""
    browser = client(TwinBoard(refuses="its data was erased"))
    said = browser.post("/do/retry", data={"jobs": "job-3", "csrf": csrf_of(browser)}, headers={"hx-request": "true"})
    assert "Retried: 0 series" in said.text
    assert "its data was erased" in said.text
    assert "<html" not in said.text


def test_nothing_chosen_is_said() -> None:
    """A button without a series, or one that does not exist, does nothing."""
    browser = client()
    token = csrf_of(browser)
    assert browser.post("/do/retry", data={"csrf": token}).status_code == 400
    assert browser.post("/do/explode", data={"csrf": token, "jobs": "job-3"}).status_code == 400


def test_the_result_shows_levels_numbers_and_pictures(tmp_path: Path) -> None:
    """Levels with confidence, measurements with value or reason, layers as images, objects by name."""
    (tmp_path / "sagittal-5.png").write_bytes(b"png")
    browser = client(TwinBoard(folder=tmp_path))
    shown = browser.get("/series/job-4/result").text
    for text in ("L1", "93 %", "25000", "cut off", "sagittal-5-overlay.png", "25.0", "not for diagnosis", "levels.dcm"):
        assert text in shown
    assert browser.get("/series/job-4/file/sagittal-5.png").content == b"png"
    assert browser.get("/series/job-4/file/sagittal-6.png").status_code == 404
    assert browser.get("/series/job-2/result").status_code == 404


def test_the_result_tells_what_the_second_labeller_says(tmp_path: Path) -> None:
    """One line, marked as advice where the reader is warned; none where nobody was asked."""
    said = {"verdict": "shifted", "sentence": "L1 is L2 in small-fov", "flagged": True}
    board = TwinBoard(folder=tmp_path)
    assert "Second labeller" not in client(board).get("/series/job-4/result").text
    board.report = board.report | {"second_opinion": said}
    assert (
        '<p class="advice">Second labeller: L1 is L2 in small-fov.</p>'
        in client(board).get("/series/job-4/result").text
    )


def test_objects_leave_only_where_patients_are_shown(tmp_path: Path) -> None:
    """A DICOM object names its patient, so it is behind the same switch."""
    (tmp_path / "levels.dcm").write_bytes(b"dicom")
    board = TwinBoard(folder=tmp_path)
    assert client(board).get("/series/job-4/object/levels.dcm").status_code == 404
    assert client(board, show_patient=True).get("/series/job-4/object/levels.dcm").content == b"dicom"


def test_a_token_is_asked_for() -> None:
    """Without it a browser comes to the login, a machine gets 401; with it both get in; a wrong one stays out."""
    browser = client(access=Access(TOKEN))
    assert browser.get("/series").headers["location"] == "/login?next=/series"
    assert browser.get("/api/jobs").status_code == 401
    assert browser.get("/metrics").status_code == 401
    assert browser.get("/api/jobs", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    assert browser.get("/api/jobs", headers={"authorization": "Bearer wrong"}).status_code == 401
    token = csrf_of(browser, "/login?next=/series")
    assert browser.post("/login", data={"token": "wrong", "csrf": token}).status_code == 403
    entered = browser.post("/login", data={"token": TOKEN, "csrf": token, "next": "/series"})
    assert (entered.status_code, entered.headers["location"]) == (303, "/series")
    assert "HttpOnly" in entered.headers["set-cookie"]
    assert "SameSite=strict" in entered.headers["set-cookie"]
    assert browser.get("/series").status_code == 200
    assert browser.post("/logout", data={"csrf": token}).status_code == 303
    assert browser.get("/series").status_code == 303


@pytest.mark.parametrize("away", ["https://elsewhere.example", "//elsewhere.example", "/\\elsewhere.example", ""])
def test_a_login_leads_nowhere_else(away: str) -> None:
    """Only an address of this site is followed after the login."""
    browser = client(access=Access(TOKEN))
    entered = browser.post("/login", data={"token": TOKEN, "csrf": csrf_of(browser, "/login"), "next": away})
    assert entered.headers["location"] == "/"


def test_a_session_ends() -> None:
    """Twelve hours later, with a changed signature, or under another token a cookie is worth nothing."""
    access = Access(TOKEN)
    cookie = session_cookie(access, NOW)
    assert session_holds(access, cookie, NOW + 60)
    assert not session_holds(access, cookie, NOW + 13 * 3600)
    assert not session_holds(access, cookie[:-1] + ("0" if cookie[-1] != "0" else "1"), NOW)
    assert not session_holds(Access("other", key=access.key), cookie, NOW)
    assert not session_holds(access, "", NOW)


def test_a_proxy_is_believed_only_from_its_address() -> None:
    """The header of a trusted proxy lets in; the same header from elsewhere does not, nor the proxy without it."""
    trusted = client(access=Access(proxy="testclient"))
    assert trusted.get("/", headers={"x-forwarded-user": "mtra"}).status_code == 200
    assert trusted.get("/").status_code == 401
    stranger = client(access=Access(proxy="192.0.2.1"))
    assert stranger.get("/", headers={"x-forwarded-user": "mtra"}).status_code == 401


def test_another_name_for_loopback_is_refused() -> None:
    """A foreign site whose name was pointed at this machine sees nothing."""
    for name in ("rebound.example", "127.rebound.example", "localhost.example"):
        assert client().get("/", headers={"host": name}).status_code == 403
    for name in ("localhost:8080", "127.0.0.5", "[::1]:8080"):
        assert client().get("/", headers={"host": name}).status_code == 200


def test_a_superseded_series_leads_to_its_successor() -> None:
    """Its reason names the job that took its place; other reasons lead nowhere."""
    old = job("job-7", State.SUPERSEDED, reason="analysed with other models: see job 5ab1c0ffee")
    shown = client(TwinBoard([old])).get("/series/job-7").text
    assert 'href="/series/5ab1c0ffee"' in shown
    assert "took its place" not in client().get("/series/job-2").text


def test_every_reason_gets_advice() -> None:
    """Numbers do not part like reasons; what is unknown still says where to look."""
    assert words.kind_of("slice 7 of 20 is missing") == words.kind_of("slice 12 of 40 is missing")
    assert "checkpoint" not in words.advice("a wonder")
    assert words.advice("a wonder") == words.OTHERWISE
