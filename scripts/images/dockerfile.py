"""Reads a Dockerfile: its stages, each with a base and its steps, arguments filled in."""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import dataclass, field

_ARGUMENT = re.compile(r"\$\{(\w+)\}")


@dataclass(frozen=True)
class Step:
    """One instruction: its keyword and what follows it."""

    keyword: str
    rest: str

    @property
    def words(self) -> list[str]:
        """What follows as a list: JSON where it is written so, else words."""
        return list(json.loads(self.rest)) if self.rest.startswith("[") else shlex.split(self.rest)


@dataclass
class Stage:
    """One FROM: its base image or earlier stage, build arguments with their values, and the steps."""

    name: str
    base: str
    arguments: dict[str, str] = field(default_factory=dict)
    steps: list[Step] = field(default_factory=list)

    def needs(self) -> set[str]:
        """Other stages from which files are copied."""
        copies = (step for step in self.steps if step.keyword == "COPY")
        return {word.removeprefix("--from=") for step in copies for word in step.words if word.startswith("--from=")}


def read_stages(text: str, chosen: dict[str, str]) -> dict[str, Stage]:
    """The stages by name, in their order; `chosen` holds the values of build arguments."""
    outer: dict[str, str] = {}
    stages: dict[str, Stage] = {}
    for step in instructions(text):
        if step.keyword == "FROM":
            image, _, name = re.sub(_ARGUMENT, lambda m: outer[m[1]], step.rest).partition(" AS ")
            stages[name or str(len(stages))] = Stage(name or str(len(stages)), image)
        elif step.keyword == "ARG":
            name, _, default = step.rest.partition("=")
            place = list(stages.values())[-1].arguments if stages else outer
            place[name] = chosen.get(name, shlex.split(default)[0] if default.strip('"') else "")
        else:
            list(stages.values())[-1].steps.append(step)
    return stages


def instructions(text: str) -> Iterator[Step]:
    """Each instruction with its continued lines joined, comments left out."""
    lines = [line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")]
    for line in "\n".join(lines).replace("\\\n", " ").splitlines():
        keyword, _, rest = line.strip().partition(" ")
        yield Step(keyword.upper(), rest.strip())
