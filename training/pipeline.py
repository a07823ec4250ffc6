"""The embedded model inside the node's own analysis: what the examination examines."""

from __future__ import annotations

from pathlib import Path

from spineps_pacs.analysis.pipeline import analyse
from spineps_pacs.domain.ports import Engines
from spineps_pacs.domain.volume import Volume
from spineps_pacs.engines.load import load_engines
from spineps_pacs.engines.options import EngineOptions
from training.examination import Masks, Segment

DEFAULTS = Path(__file__).parent.parent / "spineps_pacs" / "engines" / "defaults"


def embedded(folder: Path = DEFAULTS, instance: bool = True) -> Segment:
    """The embedded model as a function of an image; without its instance network the discs tell vertebrae apart."""
    second = folder / "instance" if instance else None
    engines: Engines = load_engines(folder / "semantic", second, options=EngineOptions(device="cpu"))

    def segment(image: Volume) -> Masks:
        report = analyse(image, engines)
        return report.structures, report.instances

    return segment
