"""Which networks a command uses: of a models folder, by name or the only one of its kind, or the embedded ones."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from spineps_pacs.domain.ports import Engines


@dataclass(frozen=True)
class Wanted:
    """Models by name; empty means the only one of its kind, "none" that there shall be none (instance, labelling)."""

    folder: Path | None = None
    semantic: str = ""
    instance: str = ""
    labeling: str = ""
    mode: Literal["corrected", "upstream"] = "corrected"
    device: str = "auto"


def engines(wanted: Wanted) -> Engines:
    """The networks, chosen as the node chooses them."""
    from spineps_pacs import producing, settings

    return producing.load_engines(
        settings.Models(
            folder=wanted.folder,
            semantic=wanted.semantic,
            instance=wanted.instance,
            labeling=wanted.labeling,
            mode=wanted.mode,
            device=wanted.device,
        )
    )
