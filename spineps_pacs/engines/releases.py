"""The published models: under which name, tag and archive they are released, and as which folder they are installed."""

from __future__ import annotations

from dataclasses import dataclass

from spineps_pacs.domain.errors import ModelError

BASE_ADDRESS = "https://github.com/Hendrik-code/spineps/releases/download"


@dataclass(frozen=True)
class Release:
    """One published model."""

    name: str
    kind: str
    tag: str
    archive: str
    folder: str

    def address(self, base: str) -> str:
        """Where its archive lies below a base address."""
        return f"{base.rstrip('/')}/{self.tag}/{self.archive}"


RELEASES: tuple[Release, ...] = (
    Release("t2w", "semantic", "v1.0.9", "t2w.zip", "T2w_semantic_v1.0.9"),
    Release("t1w", "semantic", "v1.0.9", "t1w.zip", "T1w_semantic_v1.0.9"),
    Release("vibe", "semantic", "v1.0.9", "vibe.zip", "Vibe_semantic_v1.0.9"),
    Release("ct", "semantic", "v2.0.0", "ct.zip", "CT_semantic_v2.0.0"),
    Release("instance", "instance", "v1.2.0", "instance.zip", "instance_sagittal_v1.2.0"),
    Release("ct_instance", "instance", "v2.0.0", "CT_instance.zip", "CT_instance_v2.0.0"),
    Release("t2w_labeling", "labeling", "v1.4.0", "labeling.zip", "T2w_labeling_v1.4.0"),
    Release("ct_labeling", "labeling", "v1.4.0", "ct_labeling.zip", "CT_labeling_v1.4.0"),
)

FOR_T2W = ("t2w", "instance", "t2w_labeling")
"""What a node for sagittal T2w needs."""


def release(name: str) -> Release:
    """The release of a name; a semantic one may also be called with "_semantic" at its end."""
    wanted = name.lower()
    for one in RELEASES:
        if wanted == one.name or (one.kind == "semantic" and wanted == f"{one.name}_semantic"):
            return one
    raise ModelError(f"no model is published as {name}; there are {', '.join(r.name for r in RELEASES)}")
