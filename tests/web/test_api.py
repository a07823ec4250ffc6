"""The REST interface keeps to its description, and monitors get their numbers."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import schemathesis
from hypothesis import HealthCheck, settings
from prometheus_client.parser import text_string_to_metric_families
from starlette.routing import Route
from starlette.testclient import TestClient

from spineps_pacs.web.api import DESCRIPTION, Api
from spineps_pacs.web.guard import Access
from spineps_pacs.web.pages import Desk
from spineps_pacs.web.site import _api, site
from web.board_twin import NOW, TwinBoard

TOKEN = "a-long-secret"
BEARER = {"authorization": f"Bearer {TOKEN}"}
CONFIG = Path(__file__).parents[2] / "config"


def app(board: TwinBoard | None = None, access: Access | None = None) -> object:
    return site(Desk(board or TwinBoard(), access or Access(TOKEN), clock=lambda: NOW))


def client(board: TwinBoard | None = None, access: Access | None = None) -> TestClient:
    return TestClient(app(board, access), "http://localhost", follow_redirects=False)


schema = schemathesis.openapi.from_dict(json.loads(DESCRIPTION.read_text()))
schema.app = app()


@schema.parametrize()
@settings(max_examples=8, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True, database=None)
def test_every_answer_is_as_described(case: schemathesis.Case) -> None:
    """Whatever is asked, status, content type and body are those of openapi.json."""
    case.call_and_validate(headers=BEARER, excluded_checks=[schemathesis.checks.CHECKS.get_one("unsupported_method")])


def test_the_description_names_every_route_and_no_other() -> None:
    """Paths and methods of the file are those that are served."""
    described = json.loads(DESCRIPTION.read_text())["paths"]
    said = {(path, method.upper()) for path, methods in described.items() for method in methods}
    routes = [route for route in _api(Api(Desk(TwinBoard()))) if isinstance(route, Route)]
    assert {(r.path, m) for r in routes for m in r.methods or () if m != "HEAD"} == said


def test_the_description_is_served() -> None:
    """Byte for byte the file."""
    assert client().get("/api/openapi.json", headers=BEARER).content == DESCRIPTION.read_bytes()


def test_jobs_by_filter() -> None:
    """State, reason and paging; nonsense is a sentence."""
    browser = client()
    found = browser.get("/api/jobs", params={"state": "failed", "size": 1}, headers=BEARER).json()
    assert (found["total"], [job["id"] for job in found["jobs"]]) == (2, ["job-5"])
    assert browser.get("/api/jobs", params={"size": 0}, headers=BEARER).json()["error"].startswith("size is a number")
    assert browser.get("/api/jobs", params={"since": "soon"}, headers=BEARER).status_code == 400


def test_a_job_with_its_verdict() -> None:
    """Every rule, the timeline, the receipts."""
    found = client().get("/api/jobs/job-2", headers=BEARER).json()
    assert found["verdict"]["findings"][1] == {
        "rule": "T2 weighting", "passed": False, "value": "TE 11 ms", "limit": "≥ 60 ms",
    }  # fmt: skip
    assert [event["kind"] for event in found["timeline"]] == ["arriving", "skipped"]


def test_a_machine_presses_the_buttons() -> None:
    """With the token; a refusal is 409 with its reason; without the token of a page a browser cannot."""
    board = TwinBoard()
    assert client(board).post("/api/jobs/job-3/retry", headers=BEARER).status_code == 202
    assert board.done == [("retry", "job-3")]
    refused = client(TwinBoard(refuses="too late")).post("/api/jobs/job-3/cancel", headers=BEARER)
    assert (refused.status_code, refused.json()) == (409, {"error": "too late"})
    browser = client(board, Access())
    assert browser.post("/api/jobs/job-3/retry").status_code == 403
    token = browser.get("/api/status").json()["csrf"]
    assert browser.post("/api/jobs/job-3/retry", headers={"x-csrf-token": token}).status_code == 202


def test_a_machine_chooses_models() -> None:
    """By name; an empty list is the node's own, no body what the job had; anything else is a sentence."""
    board = TwinBoard(several=True)
    browser = client(board)
    assert browser.get("/api/models", headers=BEARER).json() == {"semantic": ["first", "second"]}
    for body in ({"models": ["second"]}, {"models": []}, None):
        assert browser.post("/api/jobs/job-5/rerun", json=body, headers=BEARER).status_code == 202
    assert [what for what, _ in board.done] == ["rerun with second", "rerun with its own", "rerun"]
    for wrong in ('{"models": "second"}', '{"model": ["second"]}', "[]", "second"):
        answer = browser.post("/api/jobs/job-5/rerun", content=wrong, headers=BEARER)
        assert answer.status_code == 400
        assert "models" in answer.json()["error"]


def test_monitors_need_no_token_for_health() -> None:
    """/healthz always, /readyz as long as the node can take series."""
    assert client().get("/healthz").json() == {"status": "ok"}
    assert client().get("/readyz").status_code == 200
    assert client(TwinBoard(is_ready=False)).get("/readyz").status_code == 503


def metrics(board: TwinBoard) -> dict[str, dict[tuple[str, ...], float]]:
    text = client(board).get("/metrics", headers=BEARER).text
    families = text_string_to_metric_families(text)
    named = ((f.samples[0].name if f.samples else f.name, f.samples) for f in families)
    return {name: {tuple(s.labels.values()): s.value for s in samples} for name, samples in named}


def test_metrics_count_what_the_board_counts() -> None:
    """Depth and age by state, deliveries, verdicts, phases, disk, peers and GPUs; what a card hides is left out."""
    found = metrics(TwinBoard(peer_up=False))
    assert found["spineps_pacs_jobs"]["failed",] == 2
    assert found["spineps_pacs_oldest_seconds"]["waiting",] == 90
    assert found["spineps_pacs_deliveries"]["pacs", "dead letter"] == 1
    assert found["spineps_pacs_verdicts"]["T2 weighting",] == 1
    assert found["spineps_pacs_phase_seconds_sum"]["semantic",] == 7
    assert found["spineps_pacs_phase_seconds_count"]["semantic",] == 2
    assert found["spineps_pacs_second_opinions"] == {("false", "agree"): 3, ("true", "shifted"): 1}
    assert found["spineps_pacs_refusals_total"]["unknown caller",] == 4
    assert found["spineps_pacs_disk_free_bytes"][()] == 50e9
    assert found["spineps_pacs_peer_up"]["pacs",] == 0
    assert found["spineps_pacs_gpu_memory_used_bytes"]["0",] == 3e9
    assert found["spineps_pacs_gpu_memory_total_bytes"]["0",] == 12e9
    assert found["spineps_pacs_gpu_utilisation"] == {}


@pytest.mark.parametrize("name", ["grafana/spineps-pacs.json", "prometheus/alerts.yml"])
def test_dashboard_and_rules_ask_for_metrics_that_exist(name: str) -> None:
    """No panel and no rule names a metric that the node does not give."""
    asked = set(re.findall(r"spineps_pacs_\w+", (CONFIG / name).read_text()))
    assert asked
    assert asked <= set(metrics(TwinBoard()))
