"""The limits of selection: one frozen value, with what differs for single senders."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from typing import Any

from spineps_pacs.domain.errors import SettingsError


@dataclass(frozen=True)
class Limits:
    """What a series must keep to be ours. `sources` holds, by sender, the fields that differ for it."""

    min_slices: int = 5
    max_slices: int = 400
    min_echo_time_ms: float = 60.0
    max_echo_time_ms: float = 450.0
    min_repetition_time_ms: float = 1000.0
    max_inversion_time_ms: float = 100.0
    max_echoes: int = 3
    max_repetitions: int = 2
    max_obliquity_deg: float = 30.0
    max_step_mm: float = 10.0
    min_field_of_view_mm: float = 100.0
    min_share: float = 0.8
    take_derived: bool = False
    need_frame_of_reference: bool = True
    include: str = ""
    exclude: str = ""
    urgent: str = ""
    sources: tuple[tuple[str, tuple[tuple[str, object], ...]], ...] = ()

    def for_source(self, source: str) -> Limits:
        """The limits as they stand for one sender."""
        own = dict(self.sources).get(source, ())
        return replace(self, sources=(), **dict(own)) if own else self  # type: ignore[arg-type]


def with_sources(limits: Limits, sources: Mapping[str, Mapping[str, object]]) -> Limits:
    """The limits with what differs by sender; SettingsError names a field that is none."""
    known = {it.name for it in fields(Limits)} - {"sources"}
    for source, own in sources.items():
        for name in sorted(set(own) - known):
            raise SettingsError(f"the limits of {source!r} name {name!r}, which is no limit")
    return replace(limits, sources=tuple((source, tuple(own.items())) for source, own in sources.items()))


def from_table(table: Mapping[str, Any]) -> Limits:
    """The limits of a [selection] table; its other keys are left alone, `source` holds what differs by sender."""
    known = {it.name for it in fields(Limits)} - {"sources"}
    own = {name: value for name, value in table.items() if name in known}
    sources = {
        str(it["ae_title"]): {name: value for name, value in it.items() if name in known and value is not None}
        for it in table.get("source", ())
    }
    return with_sources(Limits(**own), sources)
