"""Sentences for what is wrong in a configuration: the key, its line, and what is allowed there."""

from __future__ import annotations

import difflib
from typing import Any

from pydantic import BaseModel, ValidationError

from spineps_pacs.toml_lines import KeyPath, key_lines


def sentences(error: ValidationError, root: type[BaseModel], text: str, name: str) -> list[str]:
    """One sentence per fault."""
    lines = key_lines(text)
    told = []
    for fault in error.errors(include_url=False):
        where = tuple(part for part in fault["loc"])
        line = _line_of(where, lines)
        place = f"{name}, line {line}" if line else name
        told.append(f"{place}: {_what(fault, where, root)}")
    return told


def _line_of(where: KeyPath, lines: dict[KeyPath, int]) -> int | None:
    while where:
        if where in lines:
            return lines[where]
        where = where[:-1]
    return None


def _what(fault: Any, where: KeyPath, root: type[BaseModel]) -> str:
    key = ".".join(str(part) for part in where)
    if fault["type"] == "extra_forbidden":
        return f"unknown key {key!r}; {_allowed(where, root)}"
    if fault["type"] == "missing":
        return f"{key!r} is missing"
    return f"{key!r} is {fault['input']!r}: {fault['msg'][0].lower()}{fault['msg'][1:]}"


def _allowed(where: KeyPath, root: type[BaseModel]) -> str:
    fields = sorted(_fields_at(where[:-1], root))
    near = difflib.get_close_matches(str(where[-1]), fields, n=1)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}Allowed here: {', '.join(fields)}"


def _fields_at(where: KeyPath, root: type[BaseModel]) -> list[str]:
    model: Any = root
    for part in where:
        if isinstance(part, str):
            model = table_in(model.model_fields[part].annotation)
    return list(model.model_fields)


def table_in(annotation: Any) -> Any:
    """The table class inside `X`, `X | None` or `tuple[X, ...]`."""
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return annotation
    return next(filter(None, map(table_in, getattr(annotation, "__args__", ()))), None)
