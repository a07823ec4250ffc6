"""`spineps-pacs check`: the configuration and everything it names, line by line: right, or not and what to do."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

from cyclopts import Parameter

from spineps_pacs import settings
from spineps_pacs.cli.check_line import Line
from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings import Settings

Config = Annotated[Path | None, Parameter(name=["--config", "-c"], help="The configuration file.")]
Json = Annotated[bool, Parameter(name="--json", negative="", help="Write JSON, for machines.")]


def check(config: Config = None, *, as_json: Json = False) -> int:
    """Look at ports, TLS files, disk, clock, database, models, GPU and every destination, and say what is not right.

    The exit code is 1 when something is wrong. A node that runs may go on running: its own ports then count as right.
    """
    lines = []
    for line in look(config):
        lines.append(line)
        if not as_json:
            print(line.text())
    if as_json:
        print(json.dumps([asdict(line) for line in lines]))
    wrong = sum(not line.right for line in lines)
    if not as_json:
        print(f"{len(lines)} things looked at, {wrong} not right")
    return 1 if wrong else 0


def look(config: Path | None, clock: Callable[[], float] = time.time) -> Iterator[Line]:
    """Each line as soon as it is known; a faulty configuration ends it, for nothing else can be looked at."""
    from spineps_pacs.cli.node import DEFAULT

    file = config or (DEFAULT if DEFAULT.exists() else None)
    try:
        current = settings.load(file) if file else Settings()
    except SettingsError as error:
        for sentence in str(error).splitlines():
            yield Line("configuration", False, sentence, "Correct this line of the file.")
        return
    yield Line("configuration", True, f"{file or 'none: every key has its default'}")
    yield from checks(current, clock)


def checks(current: Settings, clock: Callable[[], float] = time.time) -> Iterator[Line]:
    """Everything that the settings name."""
    from spineps_pacs.cli import check_machine, check_models, check_peers, check_tls

    yield from check_machine.ports(current)
    yield from check_tls.files(current, clock())
    yield from check_machine.data_folder(current)
    yield from check_machine.clock(current, clock())
    yield from check_machine.database(current)
    yield from check_models.device(current)
    yield from check_models.models(current)
    yield from check_models.second(current)
    yield from check_peers.destinations(current, clock())
