"""The frozen parameters of one whole spine, as anatomy.py draws them and voxels.py turns them into labels.

World is LPS mm; the origin lies in the middle of the spine. A vertebra has its own rigid frame: origin in the centre of
its body, axes (rows) left, posterior, up. The spine always reaches from above C1 to the coccyx, whatever is looked at.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from spineps_pacs.phantom.grid import Waves
from spineps_pacs.phantom.wishes import Wishes

Floats = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Placed:
    """A rigid frame: origin in LPS mm, axes as rows (left, posterior, up)."""

    origin: Floats
    axes: Floats

    def world(self, left: float, posterior: float, up: float) -> Floats:
        """A local point in LPS mm."""
        return np.asarray(self.origin + np.array([left, posterior, up]) @ self.axes)


@dataclass(frozen=True)
class Node:
    """A Schmorl node: a dent in the upper or lower endplate, at parts of the half width and half depth; mm."""

    upper: bool
    left: float
    back: float
    radius: float
    depth: float


@dataclass(frozen=True)
class Body:
    """A vertebral body (or sacral segment): a waisted, rounded box between two curved endplates.

    `height` is between the rims at the centre, `wedge` in degrees (front taller positive), `hollow` how deep the upper
    and lower endplates sink in the middle, `collapse` how far a fractured upper endplate has sunk in
    (part of the height), `collapse_at` where along the depth it is deepest (-1 front, 1 back). `cap` is the
    thickness of the endplates.
    """

    width: float
    depth: float
    height: float
    wedge: float
    hollow: tuple[float, float]
    waist: float
    kidney: float
    taper: float
    square: float
    cap: tuple[float, float]
    lip: float
    collapse: float = 0.0
    collapse_at: float = -0.6
    nodes: tuple[Node, ...] = ()


@dataclass(frozen=True)
class Posterior:
    """Arch and processes; lengths in mm, angles in degrees, in the vertebra's own frame."""

    canal_width: float
    canal_depth: float
    pedicle_width: float
    pedicle_height: float
    lamina_thickness: float
    lamina_height: float
    spinous_length: float
    spinous_angle: float
    spinous_height: float
    spinous_thickness: float
    spinous_sideways: float
    transverse_span: tuple[float, float]
    articular: float
    removed: bool = False


@dataclass(frozen=True)
class Disc:
    """The disc below a vertebra. `state` 0 is a bright nucleus, 1 a black disc; `bulge` in mm into the canal."""

    height: float
    state: float
    bulge: float
    present: bool = True


@dataclass(frozen=True, eq=False)
class Vertebra:
    """One level with its place; `position` is on the scale of sizes.py."""

    id: int
    name: str
    position: float
    placed: Placed
    body: Body
    posterior: Posterior
    disc: Disc
    ribs: bool = False
    dens: float = 0.0
    fused_below: bool = False
    oedema: bool = False
    modic: tuple[float, float] = (0.0, 0.0)
    screws: bool = False
    haemangioma: tuple[float, float, float, float] | None = None

    @property
    def canal_centre(self) -> float:
        """How far behind the body's centre the canal's centre lies."""
        return self.body.depth / 2 + 0.8 + self.posterior.canal_depth / 2


@dataclass(frozen=True, eq=False)
class Segment:
    """One of the five pieces of the sacrum (or of the coccyx, with no alae and no canal)."""

    name: str
    placed: Placed
    body: Body
    span: float
    canal_width: float
    canal_depth: float


@dataclass(frozen=True, eq=False)
class Spine:
    """A whole spine: C2 to the last lumbar vertebra, sacrum S1 to S5, coccyx; C1, skull, soft tissue follow from it."""

    seed: int
    wishes: Wishes
    vertebrae: tuple[Vertebra, ...]
    sacrum: tuple[Segment, ...]
    coccyx: tuple[Segment, ...]
    conus: float
    roughness: Waves
    fat: float
    muscle: float
    scale: float
    sacralised: float = 0.0
    flow: float = 0.0

    def vertebra(self, name: str) -> Vertebra:
        """The vertebra of that name."""
        return next(v for v in self.vertebrae if v.name == name)
