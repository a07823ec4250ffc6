"""One line of `check`: what was looked at, whether it is right, what was found, and what to do."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Line:
    """`advice` says what to do where something is not right."""

    name: str
    right: bool
    found: str
    advice: str = ""

    def text(self) -> str:
        """As people read it."""
        head = f"{'right' if self.right else 'WRONG':6}{self.name}: {self.found}"
        return head if self.right or not self.advice else f"{head}\n      -> {self.advice}"
