"""`spineps-pacs shadow report`: what the second model set would have said, beside what the first did."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from cyclopts import App, Parameter

if TYPE_CHECKING:
    from spineps_pacs.shadowing import Summary

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file of the node.")]
MOST = 20

shadow = App(name="shadow", help="A second model set that runs beside the first and sends nothing.")


@shadow.command
def report(
    config: Config = None,
    *,
    since: Annotated[str, Parameter(help="Only series that arrived since, as 2026-03-01 (UTC).")] = "",
    as_json: Annotated[bool, Parameter(name="--json", negative="", help="One JSON object, with every series.")] = False,
) -> int:
    """Compare both sets over all series that both have seen: names of the levels, and Dice.

    A vertebra of the first set is compared with the one of the second that covers most of it.
    """
    from spineps_pacs.cli.jobs import moment
    from spineps_pacs.cli.node import opened
    from spineps_pacs.shadowing import compared, summary

    current = opened(config)()
    lines = compared(current.node.data_folder, moment(since) if since else 0.0)
    whole = summary(lines)
    if as_json:
        found = asdict(whole)
        found.pop("differing")
        print(json.dumps(found | {"all": [asdict(line) for line in lines]}))
        return 0
    print(f"{whole.series} series under both model sets")
    if not lines:
        return 0
    print(f"{whole.agreeing} with the same levels throughout; {whole.same_names} of {whole.vertebrae} vertebrae")
    _tables(whole)
    return 0


def _tables(whole: Summary) -> None:
    from rich.console import Console
    from rich.table import Table

    overlaps = Table(title="Dice", title_justify="left", box=None, pad_edge=False)
    for heading in ("", "count", "median", "5th percentile", "least"):
        overlaps.add_column(heading, justify="right" if heading else "left")
    for name, (count, *numbers) in whole.dice.items():
        overlaps.add_row(name, str(count), *(f"{number:.3f}" for number in numbers))
    Console().print(overlaps)
    if not whole.differing:
        return
    differing = Table(title="Series that differ", title_justify="left", box=None, pad_edge=False)
    for heading in ("job", "first", "second"):
        differing.add_column(heading, overflow="fold")
    for line in whole.differing[:MOST]:
        differing.add_row(line.job, " ".join(line.levels[0]), " ".join(line.levels[1]))
    Console().print(differing)
