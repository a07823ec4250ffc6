"""`batch`: every series under a folder, or of an archive's answer, to masks, objects and one table; resumable."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

from cyclopts import Parameter

from spineps_pacs.domain.errors import SpinepsPacsError, Unusable
from spineps_pacs.domain.series import Series, fingerprint

if TYPE_CHECKING:
    from spineps_pacs.cli.batch_sources import SeriesSource
    from spineps_pacs.domain.ports import Engines
    from spineps_pacs.intake.query import Query
    from spineps_pacs.storage.ledger import Entry, Ledger

PACS = "pacs:"
Name = Annotated[str, Parameter(help="Name of the model, where the folder holds several.")]


@dataclass(frozen=True)
class Asked:
    """Which series of a PACS."""

    accession: Annotated[tuple[str, ...], Parameter(help="Accession numbers.")] = ()
    study: Annotated[tuple[str, ...], Parameter(help="StudyInstanceUIDs.")] = ()
    since: Annotated[str, Parameter(help="First day of study dates, as 2026-03-01.")] = ""
    until: Annotated[str, Parameter(help="Last day of study dates.")] = ""
    description: Annotated[str, Parameter(help="Only series whose description contains this.")] = ""

    def queries(self) -> list[Query]:
        """As archives are asked."""
        from spineps_pacs.intake.query import Query

        words = {"since": self.since, "until": self.until, "description": self.description}
        named = [Query(accession=one, **words) for one in self.accession]
        named += [Query(study_uid=one, **words) for one in self.study]
        return named or [Query(**words)]


@dataclass(frozen=True, eq=False)
class Work:
    """What each series is done with."""

    ledger: Ledger
    source: SeriesSource
    out: Path
    engines: Engines
    settings: Any


def batch(
    source: Annotated[str, Parameter(help='A folder tree with DICOM files, or "pacs:NAME" of the configuration.')],
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
    config: Annotated[
        Path | None, Parameter(name=["--config", "-c"], help="Configuration that names the PACS.")
    ] = None,
    wanted: Annotated[Asked | None, Parameter(name="*")] = None,
) -> int:
    """Segment every series of ours under a folder, or of what a PACS has.

    Writes a folder per series, measurements.csv over all, and failed.csv with a reason for each that failed. What is
    not ours is skipped, with its reason in skipped.csv. From a PACS one series at a time is fetched, and its images are
    removed when it is done; by C-MOVE the PACS sends to the DICOM port of the configuration, so no node may run there.
    """
    from spineps_pacs.analysis.mode import Mode
    from spineps_pacs.analysis.pipeline import AnalysisSettings
    from spineps_pacs.cli.chosen import Wanted, engines
    from spineps_pacs.storage.ledger import Ledger

    out.mkdir(parents=True, exist_ok=True)
    ledger = Ledger(out / "batch.sqlite")
    try:
        if retry:
            ledger.reopen("failed")
        with _opened(source, wanted or Asked(), config, out) as found:
            found.index(ledger)
            loaded = engines(Wanted(models, semantic, instance, labeling, mode, device))
            run(Work(ledger, found, out, loaded, AnalysisSettings(Mode(mode))))
        write_tables(ledger, out, parquet)
        counts = ledger.counts()
    finally:
        ledger.close()
    print(", ".join(f"{count} {state}" for state, count in sorted(counts.items())) or "no series found")
    return 1 if counts.get("failed") else 0


@contextmanager
def _opened(source: str, wanted: Asked, config: Path | None, out: Path) -> Iterator[SeriesSource]:
    """A folder, or an archive of the configuration."""
    from spineps_pacs.cli.batch_sources import FolderSource, opened_archive

    if not source.startswith(PACS):
        if not Path(source).exists():
            raise Unusable(f"there is nothing at {source}")
        yield FolderSource(Path(source))
        return
    from spineps_pacs.cli.node import opened

    current = opened(config)()
    with opened_archive(current, source.removeprefix(PACS), wanted.queries(), out) as archive:
        yield archive


def run(work: Work) -> None:
    """Every series that is still open."""
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


def _one(work: Work, entry: Entry) -> None:
    """One series; whatever is wrong with it stands in the ledger, and the next one follows."""
    try:
        with work.source.files(work.ledger, entry.uid) as paths:
            reason = _judged(paths)
            table = "" if reason else _segmented(work, entry, paths)
    except SpinepsPacsError as error:
        work.ledger.close_series(entry.uid, "failed", str(error))
    except Exception as error:  # noqa: BLE001  one series must not stop a hundred thousand
        work.ledger.close_series(entry.uid, "failed", f"a fault of ours: {type(error).__name__}")
    else:
        work.ledger.close_series(entry.uid, "skipped" if reason else "done", reason, table)


def _judged(paths: list[Path]) -> str:
    """Why the series is not ours; nothing when it is."""
    from spineps_pacs.intake import scan
    from spineps_pacs.intake.limits import Limits
    from spineps_pacs.intake.selection import judge

    verdict = judge([scan.header(path) for path in paths], Limits())
    return "" if verdict.taken else verdict.reason


def _segmented(work: Work, entry: Entry, paths: list[Path]) -> str:
    """The results of a series in its folder; gives its measurements as CSV."""
    from spineps_pacs.analysis.pipeline import analyse
    from spineps_pacs.cli.segment import Source, results, write
    from spineps_pacs.encode.referable import refuse_unreferable
    from spineps_pacs.intake import scan

    series = Series(entry.uid, tuple(scan.dataset(path) for path in paths))
    refuse_unreferable(series)
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
    """Written as it is read, so that memory does not grow with the table."""
    try:
        from pyarrow import csv as arrow_csv
        from pyarrow import float64, string
        from pyarrow import parquet as arrow_parquet
    except ImportError as error:
        raise Unusable("Parquet needs pyarrow: install spineps-pacs[evaluation]") from error
    table = out / "measurements.csv"
    numeric = _numeric(table)
    if not numeric:
        return
    types = {name: float64() if is_number else string() for name, is_number in numeric.items()}
    options = arrow_csv.ConvertOptions(column_types=types)
    target = out / "measurements.parquet"
    with (
        arrow_csv.open_csv(table, convert_options=options) as batches,
        arrow_parquet.ParquetWriter(target, batches.schema) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _numeric(table: Path) -> dict[str, bool]:
    """Each column, and whether every value in it is a number or missing."""
    with table.open(newline="", encoding="utf-8") as file:
        rows = csv.DictReader(file)
        numeric = dict.fromkeys(rows.fieldnames or (), True)
        for row in rows:
            for name, value in row.items():
                numeric[name] = numeric[name] and (not value or _is_number(value))
    return numeric


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True
