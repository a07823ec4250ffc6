"""Who a result is: UIDs and times that derive from what decides its content, so that no UID ever has two contents."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta, timezone

import highdicom
import numpy as np
import PIL
import pydicom
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from spineps_pacs.domain.attributes import text
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.domain.report import Report
from spineps_pacs.domain.series import Series
from spineps_pacs.encode.options import Options
from spineps_pacs.encode.verbatim import header_digest

ENCODER = 2
"""Raised whenever the same report is encoded differently."""

_UID_LENGTH = 64
_DIGITS_OF_128_BITS = 39
_FEWEST_DIGITS = 20
_DAY_MINUTES = 24 * 60


@dataclass(frozen=True)
class Prior:
    """An earlier report of ours that a new one replaces."""

    study_uid: str
    series_uid: str
    sop_class_uid: str
    sop_instance_uid: str


@dataclass(frozen=True)
class Origin:
    """What decides a result besides its report: time of the first job, digest of the settings, earlier reports.

    A time with a zone is told in that of the source, where the source states one.
    """

    created: datetime
    configuration: str = ""
    predecessors: tuple[Prior, ...] = ()


@dataclass(frozen=True)
class Identity:
    """All UIDs of the results of one report. `seed` is the digest of everything that decides their content."""

    seed: str
    series_uid: str
    created: datetime
    uid_root: str = "2.25"
    predecessors: tuple[Prior, ...] = ()

    def uid(self, *parts: str) -> str:
        """The UID of one object of these results, e.g. ("series", "levels")."""
        return uid(self.uid_root, self.seed, *parts)

    def tracking_uid(self, key: str) -> str:
        """The UID under which a level of this series is known in every run, whatever the model."""
        return uid(self.uid_root, "tracking", self.series_uid, key)


def uid(root: str, *parts: str) -> str:
    """A UID under `root` that follows from the parts; under 2.25 it is the decimal form of a UUID (version 8)."""
    number = int.from_bytes(hashlib.sha256("\x1f".join(parts).encode()).digest()[:16], "big")
    if root == "2.25":
        number = number & ~(0xF << 76) | (8 << 76)
        number = number & ~(0b11 << 62) | (0b10 << 62)
        return f"{root}.{number}"
    room = _UID_LENGTH - len(root) - 1
    if room < _FEWEST_DIGITS:
        raise SettingsError(f"the UID root {root} leaves {room} digits; at least {_FEWEST_DIGITS} are needed")
    return f"{root}.{number % 10 ** min(room, _DIGITS_OF_128_BITS)}"


def identify(report: Report, series: Series, options: Options, origin: Origin) -> Identity:
    """The identity of all results of this report, for these sources, models, settings and this encoder."""
    seed = digest_of(
        *series.instance_uids,
        *(f"{model.role}={model.digest}" for model in report.models),
        report.mode,
        origin.configuration,
        repr(origin.predecessors),
        repr(options),
        f"{ENCODER}/{highdicom.__version__}/{pydicom.__version__}/{PIL.__version__}",
        content_digest(report),
        header_digest(series.datasets),
    )
    created = _in_zone_of(series.datasets[0], origin.created)
    return Identity(seed, series.series_uid, created, options.uid_root, origin.predecessors)


def digest_of(*parts: str) -> str:
    """SHA-256 of several texts, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part.encode() + b"\x1f")
    return digest.hexdigest()


def _in_zone_of(dataset: Dataset, created: datetime) -> datetime:
    """The moment as clocks at the scanner show it; an offset that no place has is left aside."""
    offset = re.fullmatch(r"([+-])(\d\d)(\d\d)", text(dataset, "TimezoneOffsetFromUTC"))
    if created.tzinfo is None or offset is None:
        return created
    minutes = int(offset[2]) * 60 + int(offset[3])
    if minutes >= _DAY_MINUTES:
        return created
    return created.astimezone(timezone(timedelta(minutes=-minutes if offset[1] == "-" else minutes)))


def content_digest(report: Report) -> str:
    """SHA-256 of what a report says: masks, levels, numbers, flags, models; not how long it took."""
    digest = hashlib.sha256()
    for labels in (report.structures.labels, report.instances.labels):
        digest.update(_bytes(labels))
    facts = {
        "affine": [repr(float(v)) for v in report.volume.geometry.affine.ravel()],
        "frames": [asdict(frame) for frame in report.volume.frames],
        "notes": report.volume.notes,
        "levels": asdict(report.levels),
        "measurements": [asdict(m) for m in report.measurements],
        "models": [asdict(m) for m in report.models],
        "flags": [asdict(f) for f in report.flags],
        "folds": [asdict(f) for f in report.folds],
        "mode": report.mode,
    }
    digest.update(json.dumps(facts, sort_keys=True, default=float).encode())
    return digest.hexdigest()


def _bytes(labels: NDArray[np.integer]) -> bytes:
    return repr(labels.shape).encode() + np.ascontiguousarray(labels, dtype="<u2").tobytes()
