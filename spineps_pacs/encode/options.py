"""What a site may choose about the objects that we write, and the table of their kinds."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Kind:
    """A kind of object: what its series is called, its place in the series numbers, its content label (CS)."""

    name: str
    suffix: int
    title: str
    label: str


KINDS: dict[str, Kind] = {
    kind.name: kind
    for kind in (
        Kind("rejection", 0, "rejection note", "SPINEPS_REJECT"),
        Kind("study", 0, "levels of the study", "SPINEPS_STUDY"),
        Kind("levels", 1, "vertebrae and discs", "SPINEPS_LEVELS"),
        Kind("vertebrae", 1, "vertebrae", "SPINEPS_VERTEBR"),
        Kind("structures", 2, "structures", "SPINEPS_STRUCT"),
        Kind("report", 3, "report", "SPINEPS_REPORT"),
        Kind("picture", 4, "pictures", "SPINEPS_PICTURE"),
        Kind("presentation", 5, "level names", "SPINEPS_NAMES"),
        Kind("contours", 6, "contours", "SPINEPS_CONTOURS"),
        Kind("levels-labelmap", 7, "vertebrae and discs (label map)", "SPINEPS_LEVELS"),
        Kind("structures-labelmap", 8, "structures (label map)", "SPINEPS_STRUCT"),
        Kind("discs", 9, "discs", "SPINEPS_DISCS"),
    )
}
"""Every kind of result. The suffix is added to `Options.series_number_offset`."""


@dataclass(frozen=True)
class Options:
    """What is written and how we are named in it; `version` is ours, `serial` and `station_name` those of this node.

    `labelmap` adds a label-map variant of each SEG (compressed with RLE), `split_levels` writes vertebrae and discs as
    two SEGs, `older_category` uses the category code that older colour tables know. Series number: that of the source
    times `series_number_factor`, plus `series_number_offset`, plus the suffix of the kind.
    """

    version: str
    uid_root: str = "2.25"
    manufacturer: str = "spineps-pacs"
    model_name: str = "SPINEPS"
    serial: str = "1"
    station_name: str = ""
    labelmap: bool = False
    split_levels: bool = False
    pictures: bool = True
    gsps: bool = False
    rtstruct: bool = False
    report_when_empty: bool = True
    omit_empty_frames: bool = True
    older_category: bool = False
    series_number_factor: int = 100
    series_number_offset: int = 90
