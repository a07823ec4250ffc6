"""A series: all instances that arrived under one SeriesInstanceUID, complete, in no promised order."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

from pydicom.dataset import Dataset


def fingerprint(instance_uids: Iterable[str]) -> str:
    """The digest of a set of instances; the same slices in any order, sent once or twice, give the same."""
    return hashlib.sha256("\n".join(sorted(set(instance_uids))).encode()).hexdigest()[:32]


@dataclass(frozen=True)
class Series:
    """The instances of one series. The datasets are the modality's own and are never changed."""

    series_uid: str
    datasets: tuple[Dataset, ...]

    @property
    def instance_uids(self) -> tuple[str, ...]:
        """SOP Instance UIDs, sorted, each once."""
        return tuple(sorted({str(ds.get("SOPInstanceUID", "")) for ds in self.datasets}))

    @property
    def fingerprint(self) -> str:
        """Digest of the set of instances."""
        return fingerprint(self.instance_uids)
