"""`spineps-pacs selftest`: a made-up study through the running node to the real destinations, and a report on it."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

from cyclopts import Parameter

from spineps_pacs.cli.check_line import Line
from spineps_pacs.domain.errors import TryAgain, Unusable
from spineps_pacs.domain.job import Job, State

if TYPE_CHECKING:
    from spineps_pacs.app import Shared
    from spineps_pacs.domain.ports import Confirmation
    from spineps_pacs.phantom.study import StudyRequest
    from spineps_pacs.settings import Destination, Settings

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
LEVELS, SLICES, SPACING_MM, PIXEL_MM = "L1-S1", 13, 5.0, 1.2
POLL_S, PRINT_S, CONFIRM_S = 0.5, 120, 30.0
SEG, SR = "1.2.840.10008.5.1.4.1.1.66.4", "1.2.840.10008.5.1.4.1.1.88.34"


@dataclass(frozen=True)
class Finished:
    """One run of the self-test: what was sent, what became of it, and what was looked at."""

    job: Job
    series_uid: str
    sources: frozenset[str]
    truth_levels: tuple[str, ...]
    objects: tuple[Path, ...]


def selftest(
    config: Config = None,
    *,
    out: Path = Path("selftest"),
    seed: int | None = None,
    calling: str = "",
    minutes: float = 30,
) -> int:
    """Send a made-up, marked test patient through the running node to its destinations, and write an acceptance report.

    Parameters
    ----------
    out
        Folder for report.html (and report.pdf, where Chromium is installed).
    seed
        Which made-up patient; by default a new one each time, so that nothing is a repeat.
    calling
        The AE title by which the study is sent; by default the first that the node lets in.
    minutes
        Give up when the results have not arrived by then.
    """
    from spineps_pacs.app import shared
    from spineps_pacs.cli.node import opened
    from spineps_pacs.cli.selftest_report import write_report

    current = opened(config)()
    common = shared(current)
    seed = int(time.time()) % 1_000_000 if seed is None else seed
    with tempfile.TemporaryDirectory(prefix="selftest-") as made:
        finished = _run(current, common, Path(made), (seed, calling), time.monotonic() + 60 * minutes)
    lines = list(judged(finished, current, common))
    for line in lines:
        print(line.text())
    html = write_report(out, finished, lines, common.folder)
    print(f"report: {html}")
    print(_as_pdf(html))
    common.database.dispose()
    return 0 if all(line.right for line in lines) else 1


def _run(current: Settings, common: Shared, made: Path, who: tuple[int, str], deadline: float) -> Finished:
    from pydicom import dcmread

    from spineps_pacs.phantom.study import write_study

    station = write_study(made, request(who[0])).stations[0]
    datasets = [dcmread(path) for path in sorted(station.folder.glob("*.dcm"))]
    _send(current, datasets, who[1])
    uid = str(datasets[0].SeriesInstanceUID)
    job = _await(common, uid, deadline)
    objects = tuple(common.outbox.path(job.id, name) for name in common.outbox.names(job.id))
    sources = frozenset(str(d.SOPInstanceUID) for d in datasets)
    return Finished(job, uid, sources, tuple(_true_levels(station.truth)), objects)


def request(seed: int) -> StudyRequest:
    """The made-up study of a self-test: small, one series, wide enough to hold whole vertebrae."""
    from spineps_pacs.phantom.study import StudyRequest
    from spineps_pacs.phantom.wishes import Wishes

    return StudyRequest(
        Wishes(levels=LEVELS), seed, slices=SLICES, pixel=PIXEL_MM, slice_spacing=SPACING_MM, only_t2=True
    )


def _true_levels(truth: dict[str, Any]) -> Iterator[str]:
    for level in truth.get("levels", ()):
        yield str(level["name"] if isinstance(level, dict) else level)


def _send(current: Settings, datasets: Sequence[Any], calling: str) -> None:
    """As a scanner does, into the node's own port."""
    from pynetdicom import build_context

    from spineps_pacs.delivery.peer import Peer, TlsFiles

    now = current.dicom
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(now.host, now.host)  # noqa: S104  where a listening node is called
    by = calling or next((caller.ae_title for caller in now.callers), "SELFTEST")
    tls = None if now.tls is None else TlsFiles(now.tls.certificate, now.tls.key, now.tls.authority)
    kinds = {(str(d.SOPClassUID), str(d.file_meta.TransferSyntaxUID)) for d in datasets}
    with Peer(host, now.port, now.ae_title, by, 30.0, tls).association([build_context(*k) for k in kinds]) as opened:
        for dataset in datasets:
            status = opened.send_c_store(dataset).get("Status")
            if status != 0x0000:
                said = "nothing" if status is None else f"{status:04X}H"
                raise TryAgain(f"the node answered an image with {said}; see its log")
    print(f"sent {len(datasets)} images of a made-up patient as {by}")


def _await(common: Shared, uid: str, deadline: float) -> Job:
    """Waits until the job of the series has come to an end; for a confirmation only a while."""
    told, patience = "", deadline
    while time.monotonic() < deadline:
        job = next(iter(common.records.find(series_uid=uid)), None)
        state = "arriving" if job is None else str(job.state)
        if state != told:
            print(f"the series is {state}")
            told = state
            patience = time.monotonic() + CONFIRM_S if state == State.DELIVERED else deadline
        if job is not None and (job.ended or (job.state is State.DELIVERED and time.monotonic() > patience)):
            return job
        time.sleep(POLL_S)
    raise Unusable(f"the results have not come in time; the series is still {told}")


def judged(finished: Finished, current: Settings, common: Shared) -> Iterator[Line]:
    """Every claim of the report, one line each."""
    from spineps_pacs.outlets import confirmation

    job, advice = finished.job, "Open the series on the operator's page and read its timeline."
    verdict = job.verdict
    yield Line("selection", verdict is not None and verdict.taken, verdict.reason if verdict else "no verdict", advice)
    good = job.state in (State.DELIVERED, State.CONFIRMED)
    yield Line("chain", good, f"the series is {job.state} {job.reason}".strip(), advice)
    datasets = [_read(path) for path in finished.objects]
    for path, dataset in zip(finished.objects, datasets, strict=True):
        yield _object(path, dataset, finished)
    kinds = {str(d.SOPClassUID) for d in datasets if d is not None}
    yield Line(
        "kinds", {SEG, SR} <= kinds, f"{len(datasets)} objects of the SOP classes {', '.join(sorted(kinds))}", advice
    )
    for d in current.destination:
        yield _delivered(d.name, job, common)
        if any(s.destination == d.name for s in job.sendings):
            accepted = {r.sop_instance_uid for r in common.records.receipts(job.id, d.name) if r.accepted}
            sent = [x for x in datasets if x is not None and str(x.SOPInstanceUID) in accepted]
            yield _kept(d, sent, confirmation(d.model_copy(update={"confirm": "query"}), current, common.notes))


def _read(path: Path) -> Any:
    from pydicom import dcmread
    from pydicom.errors import InvalidDicomError

    try:
        return dcmread(path)
    except (OSError, InvalidDicomError):
        return None


def _object(path: Path, dataset: Any, finished: Finished) -> Line:
    """One object: ours, of this patient, about these images, and with something in it."""
    advice = "Keep the file, and report it with a support bundle."
    if dataset is None:
        return Line(path.name, False, "it cannot be read", advice)
    faults = []
    if not str(dataset.get("PatientName", "")).startswith("PHANTOM^"):
        faults.append("it is not of the test patient")
    if str(dataset.get("StudyInstanceUID", "")) != finished.job.study_uid:
        faults.append("it is in another study")
    if dataset.SOPClassUID == SEG:
        faults += _frames(dataset, finished.sources)
    if dataset.SOPClassUID == SR and not dataset.get("ContentSequence"):
        faults.append("it has no content")
    return Line(path.name, not faults, "; ".join(faults) or f"{dataset.Modality}, as it should be", advice)


def _frames(dataset: Any, sources: frozenset[str]) -> Iterator[str]:
    """Faults of a SEG: segments without a voxel, frames about images that were not sent."""
    frames = dataset.pixel_array.reshape(int(dataset.NumberOfFrames), dataset.Rows, dataset.Columns)
    seen = set()
    for frame, group in zip(frames, dataset.PerFrameFunctionalGroupsSequence, strict=True):
        about = group.DerivationImageSequence[0].SourceImageSequence[0].ReferencedSOPInstanceUID
        if str(about) not in sources:
            yield "a frame is about an image that was not sent"
        if frame.any():
            seen.add(int(group.SegmentIdentificationSequence[0].ReferencedSegmentNumber))
    empty = [int(s.SegmentNumber) for s in dataset.SegmentSequence if int(s.SegmentNumber) not in seen]
    if empty:
        yield f"segments {empty} have no voxel"


def _delivered(name: str, job: Job, common: Shared) -> Line:
    sending = next((s for s in job.sendings if s.destination == name), None)
    if sending is None:
        return Line(f"delivery to {name}", True, "its rules take no result of this series")
    receipts = common.records.receipts(job.id, name)
    taken = sum(receipt.accepted for receipt in receipts)
    good = sending.state in (State.DELIVERED, State.CONFIRMED) and taken == len(receipts) > 0
    text = f"{sending.state}, {taken} of {len(receipts)} objects accepted {sending.reason}".strip()
    return Line(f"delivery to {name}", good, text, "Run `spineps-pacs check`, then press Retry on the page Trouble.")


def _kept(d: Destination, sent: list[Any], asks: Confirmation | None) -> Line:
    """Asks the destination itself, by query; one that cannot be asked is said to be so."""
    try:
        kept = asks.kept(sent, "selftest") if asks is not None else frozenset()
    except TryAgain as reason:
        return Line(f"kept by {d.name}", True, f"not looked at, for it could not be queried: {reason}")
    missing = len(sent) - len(kept)
    text = f"{len(kept)} of {len(sent)} objects are found there"
    return Line(f"kept by {d.name}", missing == 0, text, "Look in the destination's own log for what it dropped.")


def _as_pdf(html: Path) -> str:
    """Prints by Chromium where there is one."""
    program = next((p for p in map(shutil.which, ("chromium", "chromium-browser", "google-chrome")) if p), None)
    if program is None:
        return "report.pdf was not written: no Chromium is installed"
    pdf = html.with_suffix(".pdf")
    command = [program, "--headless", "--no-sandbox", "--disable-gpu", f"--print-to-pdf={pdf}", html.as_uri()]
    try:
        subprocess.run(command, capture_output=True, timeout=PRINT_S, check=True)
    except (subprocess.SubprocessError, OSError) as error:
        return f"report.pdf was not written: {type(error).__name__}"
    return f"report: {pdf}"
