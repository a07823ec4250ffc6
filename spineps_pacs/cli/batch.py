"""`batch`: every series under a folder, or of an archive's answer, to masks, objects and one table; resumable."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from spineps_pacs.domain.errors import SpinepsPacsError, Unusable
from spineps_pacs.domain.series import Series, fingerprint

if TYPE_CHECKING:
    from spineps_pacs.domain.ports import Engines
    from spineps_pacs.storage.ledger import Entry, Ledger

Name = Annotated[str, Parameter(help="Name of the model, where the folder holds several.")]


@dataclass(frozen=True, eq=False)
class _Work:
    """What each series is done with."""

    ledger: Ledger
    out: Path
    engines: Engines
    settings: Any


def batch(
    source: Annotated[Path, Parameter(help="A folder tree with DICOM files.")],
    /,
    *,
    out: Annotated[Path, Parameter(help="Folder for the results; a batch that was cut goes on where it was.")],
    models: Annotated[Path | None, Parameter(help="Folder of models; without it the embedded ones.")] = None,
    semantic: Name = "",
    instance: Name = "",
    labeling: Name = "",
    mode: Literal["corrected", "upstream"] = "corrected",
    device: str = "auto",
    retry: Annotated[bool, Parameter(help="Do again what had failed.", negative="")] = False,
    parquet: Annotated[bool, Parameter(help="The table as Parquet as well.", negative="")] = False,
) -> int:
    """Segment every series of ours under a folder.

    Writes a folder per series, measurements.csv over all, and failed.csv with a reason for each that failed. What is
    not ours is skipped, with its reason in skipped.csv.
    """
    from spineps_pacs.analysis.mode import Mode
    from spineps_pacs.analysis.pipeline import AnalysisSettings
    from spineps_pacs.cli.chosen import Wanted, engines
    from spineps_pacs.storage.ledger import Ledger

    if not source.exists():
        raise Unusable(f"there is nothing at {source}")
    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out / "batch.sqlite")
    try:
        if retry:
            ledger.reopen("failed")
        index(ledger, source)
        loaded = engines(Wanted(models, semantic, instance, labeling, mode, device))
        _run(_Work(ledger, out, loaded, AnalysisSettings(Mode(mode))))
        write_tables(ledger, out, parquet)
        counts = ledger.counts()
    finally:
        ledger.close()
    print(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no series found")
    return 1 if counts.get("failed") else 0


def index(ledger: Ledger, source: Path) -> int:
    """Notes which file belongs to which series; what was noted before is not read again. Gives how many are new."""
    from spineps_pacs.intake import scan

    new = 0
    for path in scan.files(source):
        if ledger.knows(path):
            continue
        new += 1
        try:
            uid = str(scan.header(path).get("SeriesInstanceUID", "") or "")
        except Unusable as reason:
            ledger.note_unreadable(path, str(reason))
            continue
        if uid:
            ledger.note(path, uid)
        else:
            ledger.note_unreadable(path, "no SeriesInstanceUID")
    return new


def _run(work: _Work) -> None:
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("{task.fields[rate]}"), TimeRemainingColumn())
    began = datetime.now(UTC)
    with Progress(*columns, console=Console(stderr=True)) as progress:
        task = progress.add_task("series", total=work.ledger.counts().get("open", 0), rate="")
        for done, entry in enumerate(work.ledger.open_series(), start=1):
            _one(work, entry)
            hours = (datetime.now(UTC) - began).total_seconds() / 3600
            progress.update(task, completed=done, rate=f"{done / max(hours, 1e-9):.0f} series/h")


def _one(work: _Work, entry: Entry) -> None:
    """One series; whatever is wrong with it stands in the ledger, and the next one follows."""
    try:
        reason = _judged(work.ledger.files_of(entry.uid))
        if reason:
            work.ledger.close_series(entry.uid, "skipped", reason)
            return
        table = _segmented(work, entry)
    except SpinepsPacsError as error:
        work.ledger.close_series(entry.uid, "failed", str(error))
    except Exception as error:  # noqa: BLE001  one series must not stop a hundred thousand
        work.ledger.close_series(entry.uid, "failed", f"a fault of ours: {type(error).__name__}")
    else:
        work.ledger.close_series(entry.uid, "done", "", table)


def _judged(paths: list[Path]) -> str:
    """Why the series is not ours; nothing when it is."""
    from spineps_pacs.intake import scan
    from spineps_pacs.intake.limits import Limits
    from spineps_pacs.intake.selection import judge

    verdict = judge([scan.header(path) for path in paths], Limits())
    return "" if verdict.taken else verdict.reason


def _segmented(work: _Work, entry: Entry) -> str:
    """The results of a series in its folder; gives its measurements as CSV."""
    from spineps_pacs.analysis.pipeline import analyse
    from spineps_pacs.cli.segment import Source, results, write
    from spineps_pacs.intake import scan

    series = Series(entry.uid, tuple(scan.dataset(path) for path in work.ledger.files_of(entry.uid)))
    report = analyse(series, work.engines, work.settings)
    files = results(report, Source(series), datetime.fromtimestamp(entry.first_seen, UTC))
    write(files, work.out / fingerprint([entry.uid]))
    return files["levels.csv"].decode()


def write_tables(ledger: Ledger, out: Path, parquet: bool = False) -> None:
    """One table of all measurements, and one each of what was skipped and what failed, with reasons."""
    with (out / "measurements.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerows(row.values() for row in _rows(ledger))
    for state in ("failed", "skipped"):
        with (out / f"{state}.csv").open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file, lineterminator="\n")
            writer.writerow(["series", "folder", "reason"])
            writer.writerows([e.uid, fingerprint([e.uid]), e.reason] for e in ledger.ended(state))
    if parquet:
        _parquet(out)


def _rows(ledger: Ledger) -> Iterator[dict[str, str]]:
    """Rows of all series under one heading: that of the first, and what later ones have besides."""
    heading: list[str] = []
    for _, head, _ in ledger.measurements():
        heading += [name for name in next(csv.reader([head])) if name not in heading]
    for number, (uid, head, rows) in enumerate(ledger.measurements()):
        if number == 0:
            yield {name: name for name in ("series", *heading)}
        names = next(csv.reader([head]))
        for cells in csv.reader(io.StringIO(rows)):
            found = dict(zip(names, cells, strict=True))
            yield {"series": uid} | {name: found.get(name, "") for name in heading}


def _parquet(out: Path) -> None:
    try:
        from pyarrow import csv as arrow_csv
        from pyarrow import parquet as arrow_parquet
    except ImportError as error:
        raise Unusable("Parquet needs pyarrow: install spineps-pacs[evaluation]") from error
    arrow_parquet.write_table(arrow_csv.read_csv(out / "measurements.csv"), out / "measurements.parquet")
