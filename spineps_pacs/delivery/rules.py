"""Which results go where: by sender, station and description; an empty list means all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from spineps_pacs.domain.job import Job
from spineps_pacs.domain.series import Series


@dataclass(frozen=True)
class Rule:
    """What one destination takes. `kinds` are kinds of result; "source" forwards the images themselves."""

    destination: str
    kinds: tuple[str, ...] = ()
    sources: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()

    def takes(self, series: Series, source: str) -> bool:
        """True when results of this series go there."""
        header = series.datasets[0]
        station, description = str(header.get("StationName", "")), str(header.get("SeriesDescription", "")).lower()
        return (
            (not self.sources or source in self.sources)
            and (not self.stations or station in self.stations)
            and (not self.descriptions or any(part.lower() in description for part in self.descriptions))
        )


class Routing:
    """The rules of all destinations."""

    def __init__(self, rules: Sequence[Rule]) -> None:
        self._rules = {rule.destination: rule for rule in rules}

    def destinations(self, series: Series, job: Job) -> Sequence[str]:
        """The names of the destinations that take results of this series."""
        return [name for name, rule in self._rules.items() if rule.takes(series, job.source)]

    def kinds(self, destination: str, present: Sequence[str]) -> Sequence[str]:
        """Of the kinds that are present, those that the destination takes; source images only where named."""
        rule = self._rules.get(destination, Rule(destination))
        return [kind for kind in present if kind in rule.kinds or (not rule.kinds and kind != "source")]
