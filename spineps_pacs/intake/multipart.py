"""The parts of a multipart body, each in a file of its own as it comes; memory stays bounded."""

from __future__ import annotations

import contextlib
import uuid
from pathlib import Path
from typing import BinaryIO

from python_multipart.multipart import MultipartParser


class Parts:
    """Writes each part into `staging`; `files` grows as they come. A body that is not multipart raises ValueError."""

    def __init__(self, boundary: bytes, staging: Path) -> None:
        self.files: list[Path] = []
        self._staging = staging
        self._open: BinaryIO | None = None
        callbacks = {"on_part_begin": self._begin, "on_part_data": self._data, "on_part_end": self._end}
        self._parser = MultipartParser(boundary, callbacks)  # type: ignore[arg-type]

    def write(self, chunk: bytes) -> None:
        """The next bytes of the body."""
        self._parser.write(chunk)

    def finish(self) -> None:
        """The body is over; a part that has no end raises ValueError."""
        self._parser.finalize()
        if self._open is not None:
            raise ValueError("the last part has no end")

    def tidy(self) -> None:
        """Removes what was not taken in."""
        if self._open is not None:
            self._open.close()
        for path in self.files:
            with contextlib.suppress(OSError):
                path.unlink(missing_ok=True)

    def _begin(self) -> None:
        path = self._staging / f"{uuid.uuid4().hex}.part"
        self.files.append(path)
        self._open = path.open("wb")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._open is not None:
            self._open.write(data[start:end])

    def _end(self) -> None:
        if self._open is not None:
            self._open.close()
            self._open = None
