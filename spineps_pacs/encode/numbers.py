"""Which numbers stand in the report, in which group, under which code and site; for the writer and the check."""

from __future__ import annotations

from dataclasses import dataclass

from spineps_pacs.domain.anatomy import (
    CANAL,
    CERVICAL,
    CORD,
    DISC_OFFSET,
    LUMBAR,
    MEASUREMENTS,
    THORACIC,
    Code,
    Quantity,
)
from spineps_pacs.domain.report import Measurement, Missing
from spineps_pacs.encode.segments import Segment

_PLACES = {"mm": 3, "mm2": 2, "mm3": 1, "deg": 2, "1": 4, "%": 1}
"""Decimal places by unit; finer than any of the numbers deserves."""
_CANAL_KINDS = {"canal_area": CANAL, "canal_ap_diameter": CANAL, "cord_area": CORD}
_REGIONS = {"lordosis_cervical": CERVICAL, "kyphosis_thoracic": THORACIC, "lordosis_lumbar": LUMBAR}

WHY_MISSING = {
    Missing.FAILED: Code("114006", "DCM", "Measurement failure"),
    Missing.NOT_ATTEMPTED: Code("114007", "DCM", "Measurement not attempted"),
    Missing.OUT_OF_RANGE: Code("114009", "DCM", "Value out of range"),
}


@dataclass(frozen=True)
class Site:
    """A finding site with its topographical modifier."""

    code: Code
    modifier: Code | None = None


def quantity(measurement: Measurement) -> Quantity:
    """What kind of number it is."""
    return MEASUREMENTS[measurement.kind]


def rounded(value: float, unit: str) -> float:
    """As it is written, so that DS holds it in 16 characters."""
    return round(float(value), _PLACES[unit])


def instance_of(measurement: Measurement) -> int:
    """The instance id of the segment it belongs to; a disc may be named by the vertebra above it."""
    if quantity(measurement).of == "disc" and measurement.subject < DISC_OFFSET:
        return measurement.subject + DISC_OFFSET
    return measurement.subject


def sites(measurement: Measurement, levels: dict[int, Segment]) -> tuple[Site, ...]:
    """Where it was measured, beyond what the group says."""
    kind = quantity(measurement)
    own, other = levels.get(instance_of(measurement)), levels.get(measurement.other or 0)
    if kind.of == "spine":
        ends = [Site(segment.level) for segment in (own, other) if segment is not None]
        return (Site(_REGIONS[kind.kind]), *ends)
    if kind.kind in _CANAL_KINDS:
        return (Site(_CANAL_KINDS[kind.kind]),)
    if kind.kind == "slip":
        return tuple(Site(segment.level) for segment in (own, other) if segment is not None)
    if own is None or kind.unit == "mm3":
        return ()
    return (Site(own.body if kind.of == "vertebra" else own.code, kind.modifier),)
