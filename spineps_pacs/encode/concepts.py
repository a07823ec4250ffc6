"""Coded concepts of headers and reports: those of the standard by name, and ours."""

from __future__ import annotations

from typing import Any

from highdicom.sr import CodedConcept
from pydicom.dataset import Dataset

from spineps_pacs.domain.anatomy import Code, dcm, private, sct

OLDER_CATEGORY = sct("123037004", "Anatomical Structure")
FINDING_CATEGORY = sct("276214006", "Finding category")
MR_EXAMINATION = Code("25056-3", "LN", "MRI unspecified body region")
ARTIFICIAL_INTELLIGENCE = dcm("123110", "Artificial Intelligence")
ACQUISITION, PROCESSING = dcm("109101", "Acquisition Equipment"), dcm("109102", "Processing Equipment")
SEGMENTATION = dcm("113076", "Segmentation")
REJECTED = dcm("113001", "Rejected for Quality Reasons")
COMMENT = dcm("121106", "Comment")
CERTAINTY = dcm("111012", "Certainty of Finding")
SUMMED_VOXELS = dcm("126030", "Sum of segmented voxel method for volume")
CENTRE = dcm("128137", "Geometric Centerpoint")
QUALITY, QUALITY_ISSUE = dcm("130550", "Imaging Series Quality"), dcm("113010", "Quality Issue")
LIMITED = Code("RID13", "RADLEX", "Limited quality")
NOT_DIAGNOSTIC = Code("RID14", "RADLEX", "Non-diagnostic quality")
INCOMPLETE = dcm("130576", "Anatomy coverage incomplete")
YES = sct("373066001", "Yes")
SUSPECTED, ABSENT = sct("415684004", "Suspected"), sct("272519000", "Absent")
UNDETERMINED = sct("373068000", "Undetermined")
LUMBOSACRAL = sct("1145012009", "Lumbosacral junction of vertebral column")
THORACOLUMBAR = sct("1145014005", "Thoracolumbar junction of vertebral column")

NUMBERING_ANOMALY = private("NUMANOM", "Vertebral numbering anomaly")
LEVEL_METHOD = private("LVLMETHOD", "Vertebral level assignment method")
BY_MODEL = private("LVLMODEL", "Level named by a model")
BY_ANCHOR = private("LVLANCHOR", "Level counted from an anchor")
BY_COUNT = private("LVLCOUNT", "Vertebra counted from the top, level not known")
MARGIN = private("LVLMARGIN", "Cost margin to the best other numbering")
STATION_REPORT = private("STATIONREPORT", "Report of one station of the study")
SECOND_LABELLER = private("SECONDLABELLER", "Names of a second labeller")
VERDICTS = {
    "agree": private("SECAGREE", "Second labeller gives the same names"),
    "shifted": private("SECSHIFT", "Second labeller gives names that are all shifted"),
    "differ at the transition": private("SECTRANSITION", "Second labeller differs at a transition"),
    "differ": private("SECDIFFER", "Second labeller gives other names"),
    "only one could name": private("SECONLYONE", "Only one of two labellers could name the vertebrae"),
    "neither could name": private("SECNEITHER", "Neither of two labellers could name the vertebrae"),
    "not asked": private("SECNOTASKED", "Second labeller was not asked"),
}
"""Verdicts of report.SecondOpinion."""
TRUNCATED = private("FOVTRUNC", "Structure truncated by field of view")
UNCERTAINTY = private("UNCERT95", "Half width of the 95 % interval")
FOLD_SPREAD = private("FOLDSPREAD", "Spread of the volume between folds of the model")

UNITS = {
    "mm": "mm",
    "mm2": "square millimeter",
    "mm3": "cubic millimeter",
    "deg": "degree",
    "1": "no units",
    "%": "percent",
}
"""UCUM unit to its code meaning."""


def concept(code: Code) -> Any:
    """As highdicom takes it."""
    return CodedConcept(code.value, code.scheme, code.meaning)


def unit(symbol: str) -> Any:
    """A unit of measurement."""
    return CodedConcept(symbol, "UCUM", UNITS[symbol])


def code_item(code: Code) -> Dataset:
    """As an item of a code sequence."""
    item = Dataset()
    item.CodeValue, item.CodingSchemeDesignator, item.CodeMeaning = code.value, code.scheme, code.meaning
    return item


def plain(text: str, limit: int = 64) -> str:
    """Text that every character set has, on one line and no longer than its attribute allows."""
    ascii_only = text.encode("ascii", "replace").decode().replace("\\", "/")
    return " ".join(ascii_only.split())[:limit]
