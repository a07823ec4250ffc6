"""Results into a folder: study, series and instance by name, each file beside and renamed."""

from __future__ import annotations

import os
import re
from collections.abc import Iterable, Iterator
from pathlib import Path

from pydicom.dataset import Dataset

from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.domain.ports import Receipt

UID_NAME = re.compile(r"[0-9.]{1,64}")


class FolderDestination:
    """`Destination` in a folder; another program may fetch what has its final name."""

    def __init__(self, name: str, folder: Path) -> None:
        self.name = name
        self._folder = folder

    def send(self, datasets: Iterable[Dataset]) -> Iterator[Receipt]:
        """One receipt a dataset; raises TryAgain when the folder takes nothing."""
        for dataset in datasets:
            try:
                yield self._write(dataset)
            except OSError as error:
                raise TryAgain(f"the folder cannot be written: {os.strerror(error.errno or 0)}") from error

    def _write(self, dataset: Dataset) -> Receipt:
        parts = [str(dataset.get(k, "")) for k in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID")]
        if not all(UID_NAME.fullmatch(part) and part.strip(".") for part in parts):
            return Receipt(parts[2], accepted=False, status="its UIDs cannot name a file")
        folder = self._folder / parts[0] / parts[1]
        folder.mkdir(parents=True, exist_ok=True)
        beside = folder / f".{parts[2]}.part"
        dataset.save_as(beside, enforce_file_format=True)
        with beside.open("rb") as file:
            os.fsync(file.fileno())
        beside.replace(folder / f"{parts[2]}.dcm")
        return Receipt(parts[2], accepted=True, status="written")
