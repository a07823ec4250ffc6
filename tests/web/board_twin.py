"""A board in memory: jobs as a test sets them, and what was asked to be done with them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.job import Finding, Job, Sending, State, Verdict
from spineps_pacs.domain.ports import Event, Receipt
from spineps_pacs.web import board as shown

NOW = 1_780_000_000.0
UID = "1.2.826.0.1.3680043.8.498.12345678901234567890"
SKIPPED = Verdict(
    False,
    "not T2 weighted: TE 11 ms < 60 ms",
    (Finding("modality", True, "MR", "MR"), Finding("T2 weighting", False, "TE 11 ms", "≥ 60 ms")),
)
TAKEN = Verdict(True, "taken", (Finding("modality", True, "MR", "MR"),))
REPORT: dict[str, Any] = {
    "schema": "spineps-pacs report 1",
    "demonstration": True,
    "mode": "corrected",
    "models": [{"role": "semantic", "name": "demo", "version": "v1", "digest": "ab" * 32, "demonstration": True}],
    "levels": {
        "method": "model-labelled",
        "flags": ["numbering uncertain"],
        "found": [
            {"instance": 20, "label": "L1", "kind": "vertebra", "confidence": 0.93, "flags": [], "rgb": [200, 40, 40]},
            {"instance": 120, "label": "L1-L2", "kind": "disc", "confidence": None, "flags": [], "rgb": [1, 2, 3]},
        ],
    },
    "structures": [{"name": "Vertebral body", "voxels": 10, "volume_mm3": 25000.0}],
    "measurements": [
        {"kind": "volume", "name": "Volume", "unit": "mm3", "subject": 20, "subject_name": "L1", "other_name": None,
         "value": 25000.0, "uncertainty": None, "reason": ""},
        {"kind": "slip", "name": "Slip", "unit": "mm", "subject": 20, "subject_name": "L1", "other_name": "L2",
         "value": None, "uncertainty": None, "reason": "cut off"},
    ],
    "flags": [{"kind": "cut", "sentence": "L5 touches the edge of the image.", "instances": [24]}],
    "notes": [],
    "timings_s": [{"phase": "semantic", "seconds": 3.5}],
}  # fmt: skip


def job(name: str, state: State, **changes: Any) -> Job:
    made = Job(name, UID + name[-1], "1.2.3", "f" * 8, state, "MR1", created=NOW - 600, changed=NOW - 300)
    return replace(made, **changes)


def jobs() -> list[Job]:
    dead = Sending("pacs", State.DEAD_LETTER, 12, "PACS cannot be reached: ConnectionRefusedError")
    return [
        job("job-1", State.ANALYSING, phase="semantic", progress=0.25, verdict=TAKEN),
        job("job-2", State.SKIPPED, reason=SKIPPED.reason, verdict=SKIPPED),
        job("job-3", State.DEAD_LETTER, reason=f"pacs: {dead.reason}", verdict=TAKEN, sendings=(dead,)),
        job("job-4", State.DELIVERED, verdict=TAKEN, sendings=(Sending("pacs", State.DELIVERED, 1),)),
        job("job-5", State.FAILED, reason="slice 7 of 20 is missing", verdict=TAKEN, source="<b>MR2</b>"),
        job("job-6", State.FAILED, reason="slice 9 of 30 is missing", verdict=TAKEN),
    ]


@dataclass
class TwinBoard:
    """`Board` in memory; `done` lists what was pressed."""

    kept: list[Job] = field(default_factory=jobs)
    done: list[tuple[str, str]] = field(default_factory=list)
    refuses: str = ""
    patient: str = ""
    folder: Path | None = None
    peer_up: bool = True
    is_ready: bool = True
    several: bool = False
    report: dict[str, Any] = field(default_factory=lambda: REPORT)
    free_bytes: int = 50_000_000_000

    def jobs(self, wanted: shown.Wanted) -> shown.Listing:
        found = [j for j in self.kept if _fits(j, wanted)]
        start = (wanted.page - 1) * wanted.size
        return shown.Listing(tuple(found[start : start + wanted.size]), len(found))

    def arriving(self) -> Sequence[shown.Incoming]:
        return [shown.Incoming(UID, "MR1", 7, NOW - 2)]

    def active(self) -> Sequence[Job]:
        return [j for j in self.kept if j.state in (State.WAITING, State.ANALYSING, State.DELIVERING)]

    def eta_s(self) -> float | None:
        return 80.0

    def sources(self) -> Sequence[str]:
        return sorted({j.source for j in self.kept})

    def job(self, job_id: str) -> shown.Detail | None:
        found = next((j for j in self.kept if j.id == job_id), None)
        if found is None:
            return None
        report = self.report if job_id == "job-4" else None
        timeline = (Event(NOW - 600, "arriving", ""), Event(NOW - 300, found.state.value, found.reason))
        receipts = {s.destination: [Receipt("1.2.3.4", s.state is State.DELIVERED, "0000")] for s in found.sendings}
        return shown.Detail(found, timeline, receipts, report=report, patient=self.patient)

    def counts(self) -> Mapping[State, int]:
        return Counter(j.state for j in self.kept)

    def pictures(self, job_id: str) -> shown.Pictures | None:
        return shown.Pictures((0, 5, 10), 5, True) if self.folder else None

    def file(self, job_id: str, name: str) -> Path | None:
        path = None if self.folder is None else self.folder / Path(name).name
        return path if path is not None and path.exists() else None

    def object(self, job_id: str, name: str) -> Path | None:
        return self.file(job_id, name)

    def objects(self, job_id: str) -> Sequence[str]:
        return ["levels.dcm"]

    def health(self) -> shown.Health:
        disk = shown.Fact("Disk", self.free_bytes > 2e9, f"{self.free_bytes / 1e9:.1f} GB are free.", "Make room.")
        text = "C-ECHO answered" if self.peer_up else "PACS cannot be reached"
        peer = shown.PeerFact("pacs", "dicom", self.peer_up, text, NOW - 20)
        model = shown.ModelFact("semantic", "demo", "v1", "ab" * 32, True)
        gpu = shown.GpuFact("0", "A card", 3e9, 12e9, None)
        return shown.Health((disk,), (peer,), (model,), (gpu,), self.free_bytes, 100_000_000_000)

    def ready(self) -> bool:
        return self.is_ready

    def drift(self) -> Sequence[shown.DriftRow]:
        return [
            shown.DriftRow("MR1", "2026-W20", 5, 2, 17.0, 0.9, 300.0, (("T2 weighting", 2),)),
            shown.DriftRow("MR1", "2026-W21", 6, 0, 16.5, None, 310.0),
        ]

    def tally(self) -> shown.Tally:
        oldest = {State.WAITING: NOW - 90}
        sendings = {("pacs", State.DEAD_LETTER): 1, ("pacs", State.DELIVERED): 1}
        rules, opinions = {"taken": 5, "T2 weighting": 1}, {("agree", False): 3, ("shifted", True): 1}
        phases, refusals = {"semantic": (2, 7.0)}, {"unknown caller": 4}
        return shown.Tally(self.counts(), oldest, sendings, rules, phases, opinions, refusals)

    def retry(self, job_id: str) -> None:
        self._act("retry", job_id)

    def cancel(self, job_id: str) -> None:
        self._act("cancel", job_id)

    def rerun(self, job_id: str, models: Sequence[str] | None = None) -> None:
        self._act("rerun" if models is None else f"rerun with {', '.join(models) or 'its own'}", job_id)

    def choices(self) -> Mapping[str, Sequence[str]]:
        return {"semantic": ("first", "second")} if self.several else {}

    def _act(self, name: str, job_id: str) -> None:
        if self.refuses:
            raise Unusable(self.refuses)
        self.done.append((name, job_id))


def _fits(found: Job, wanted: shown.Wanted) -> bool:
    return (
        wanted.state in (None, found.state)
        and wanted.source in ("", found.source)
        and wanted.reason.lower() in found.reason.lower()
        and (not wanted.since or found.created >= wanted.since)
        and (not wanted.until or found.created < wanted.until)
    )
