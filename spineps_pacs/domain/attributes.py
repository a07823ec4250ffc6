"""Header values read without trust: whatever a dataset holds, a value of the right type or none, never an exception."""

from __future__ import annotations

import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO

from pydicom.dataelem import DataElement, RawDataElement
from pydicom.dataset import Dataset
from pydicom.filereader import read_sequence
from pydicom.multival import MultiValue
from pydicom.sequence import Sequence

_LONGEST_TEXT = 1024
_MOST_VALUES = 100_000
_LARGEST_NUMBER = 1e30


@contextmanager
def quietly() -> Iterator[None]:
    """Lets pydicom read odd values without a word; what matters of them is said by a rule or a refusal."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        yield


def _raw_parts(dataset: Dataset, key: str | int) -> tuple[str, ...]:
    """The characters of an element whose value pydicom refuses to convert, split at the backslash."""
    try:
        element = dataset.get_item(key)
    except Exception:  # noqa: BLE001 - whatever a broken header raises, there is no value
        return ()
    content = element.value if isinstance(element, RawDataElement | DataElement) else None
    if not isinstance(content, bytes) or len(content) > _LONGEST_TEXT:
        return ()
    return tuple(part.strip(" \0") for part in content.decode("latin-1").split("\\"))


def values(dataset: Dataset, key: str | int) -> tuple[object, ...]:
    """All values of one element, by keyword or tag; empty when it is absent, empty or broken."""
    try:
        found = dataset.get(key)
        found = found.value if isinstance(found, DataElement) else found
    except Exception:  # noqa: BLE001 - whatever a broken header raises, there is no value
        return _raw_parts(dataset, key)
    if found is None or (isinstance(found, str) and not found):
        return ()
    if isinstance(found, MultiValue | list | tuple):
        return tuple(found[:_MOST_VALUES])
    return (found,)


def texts(dataset: Dataset, key: str | int) -> tuple[str, ...]:
    """All values as stripped text; empty ones are kept in place."""
    try:
        return tuple(str(value)[:_LONGEST_TEXT].strip(" \0") for value in values(dataset, key))
    except Exception:  # noqa: BLE001 - a value whose text cannot be made is no value
        return ()


def text(dataset: Dataset, key: str | int) -> str:
    """All values as one stripped text, joined by a backslash as in the file."""
    return "\\".join(texts(dataset, key))[:_LONGEST_TEXT]


def as_number(value: object) -> float | None:
    """A finite number of a size that something measured can have, or none."""
    try:
        number = float(str(value)) if isinstance(value, str | bytes) else float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if abs(number) < _LARGEST_NUMBER else None


def numbers(dataset: Dataset, key: str | int, count: int | None = None) -> tuple[float, ...]:
    """All values as finite numbers; empty unless every one is a number and there are `count` of them."""
    found = [as_number(value) for value in values(dataset, key)]
    if any(number is None for number in found) or (count is not None and len(found) != count):
        return ()
    return tuple(number for number in found if number is not None)


def number(dataset: Dataset, key: str | int) -> float | None:
    """The first value as a finite number, or none."""
    found = values(dataset, key)
    return as_number(found[0]) if found else None


def whole(dataset: Dataset, key: str | int) -> int | None:
    """The first value as an integer, or none."""
    found = number(dataset, key)
    return int(found) if found is not None and found == int(found) else None


def items(dataset: Dataset, key: str | int) -> tuple[Dataset, ...]:
    """The items of a sequence; empty when there is none or it is no sequence."""
    try:
        found = dataset.get(key)
        found = found.value if isinstance(found, DataElement) else found
        if isinstance(found, bytes):
            found = _unknown_sequence(found)
        return tuple(item for item in found if isinstance(item, Dataset)) if found is not None else ()
    except Exception:  # noqa: BLE001 - a broken sequence has no items
        return ()


def _unknown_sequence(content: bytes) -> Sequence | None:
    """The items of a sequence whose VR was lost on the way (UN); none when the bytes hold no item (PS3.5 6.2.2)."""
    if not content.startswith(b"\xfe\xff\x00\xe0"):
        return None
    return read_sequence(BytesIO(content), True, True, len(content), "iso8859")


def private_tag(dataset: Dataset, group: int, creator: str, element: int) -> int | None:
    """The tag of a private element, found by its creator wherever the block was put; none when absent."""
    for block in range(0x10, 0x18):
        if text(dataset, (group << 16) | block).upper() == creator.upper():
            tag = (group << 16) | (block << 8) | element
            return tag if tag in dataset else None
    return None


class Groups:
    """Attributes of one frame: its own functional groups first, then the shared ones, then the dataset itself."""

    def __init__(self, dataset: Dataset, own: Dataset | None = None, shared: Dataset | None = None) -> None:
        self._levels = tuple(level for level in (own, shared) if level is not None)
        self._rest = (*(part for level in self._levels for part in _unassigned(level)), dataset)

    def holders(self, sequence: str) -> Iterator[Dataset]:
        """Datasets that may hold the attributes of one functional group, the nearest first."""
        for level in self._levels:
            yield from items(level, sequence)
        yield from self._rest

    def numbers(self, sequence: str, key: str, count: int | None = None) -> tuple[float, ...]:
        """The values of the nearest holder that has them as numbers."""
        return next((found for it in self.holders(sequence) if (found := numbers(it, key, count))), ())

    def number(self, sequence: str, key: str) -> float | None:
        """The first value of the nearest holder that has a number."""
        found = (number(holder, key) for holder in self.holders(sequence))
        return next((value for value in found if value is not None), None)

    def text(self, sequence: str, key: str) -> str:
        """The text of the nearest holder that has one."""
        return next((found for holder in self.holders(sequence) if (found := text(holder, key))), "")

    def plain_text(self, key: str) -> str:
        """The text of an attribute that belongs to no functional group."""
        return next((found for holder in reversed(self._rest) if (found := text(holder, key))), "")


def _unassigned(level: Dataset) -> tuple[Dataset, ...]:
    """What a conversion from single-frame images could assign to no functional group (PS3.3 A.70, A.71)."""
    return items(level, "UnassignedPerFrameConvertedAttributesSequence") + items(
        level, "UnassignedSharedConvertedAttributesSequence"
    )


def frame_groups(dataset: Dataset) -> tuple[Groups, ...]:
    """One `Groups` for each frame that the functional groups describe; one for all when there are none."""
    shared = next(iter(items(dataset, "SharedFunctionalGroupsSequence")), None)
    own = items(dataset, "PerFrameFunctionalGroupsSequence")
    if not own:
        return (Groups(dataset, None, shared),)
    return tuple(Groups(dataset, item, shared) for item in own)
