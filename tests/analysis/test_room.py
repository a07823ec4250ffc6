"""What cannot be computed here is refused before any work, with its numbers."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from spineps_pacs.analysis.pipeline import analyse
from spineps_pacs.analysis.room import expect_room
from spineps_pacs.domain.errors import Unusable
from spineps_pacs.domain.ports import CutoutPlan, Engines, Room, SemanticGrid
from spineps_pacs.domain.volume import Geometry, Volume
from tests.analysis import spines

GRID = SemanticGrid((0.75, 0.75, 1.65))
PLAN = CutoutPlan((0.75, 0.75, 1.65), (248, 304, 64), 10, ((49, 9),))


def sagittal(shape: tuple[int, int, int], spacing: tuple[float, float, float]) -> Geometry:
    """A grid whose index axes run to Posterior, Inferior, Right."""
    p, i, r = spacing
    return Geometry(np.array([[0, 0, -r, 0], [p, 0, 0, 0], [0, -i, 0, 0], [0, 0, 0, 1.0]]), shape)


def test_ordinary_volumes_have_room() -> None:
    """A whole spine, three thick slices, and a whole body at the model's resolution."""
    for shape, spacing in (
        ((320, 900, 20), (0.8, 0.8, 3.3)), ((256, 256, 3), (1.0, 1.0, 4.0)), ((538, 1508, 313), (0.75, 0.75, 1.65))
    ):  # fmt: skip
        expect_room(sagittal(shape, spacing), GRID, PLAN)


def test_wrong_units_of_length_are_refused() -> None:
    """Voxels of metres would fill the memory, voxels of micrometres hold no spine; both numbers are told."""
    with pytest.raises(Unusable, match=r"voxels of 800 x 800 x 3300 mm become 341333 x 960000 x 40000 on the model"):
        expect_room(sagittal((320, 900, 20), (800.0, 800.0, 3300.0)), GRID, PLAN)
    with pytest.raises(Unusable, match=r"spans 0\.256 x 0\.72 x 0\.066 mm"):
        expect_room(sagittal((320, 900, 20), (0.0008, 0.0008, 0.0033)), GRID, PLAN)


def test_what_needs_more_memory_than_is_allowed_is_refused_with_its_numbers() -> None:
    """The semantic network by the voxels of its grid, the instance network by its cutout; the limit itself is room."""
    geometry = sagittal((320, 900, 20), (0.75, 0.75, 1.65))
    needed = 320 * 900 * 20 * 100 + 5e8
    for allowed, refused in ((needed, False), (needed - 1, True)):
        grid = dataclasses.replace(GRID, room=Room(allowed, 100, 5e8))
        if refused:
            with pytest.raises(Unusable, match=r"320 x 900 x 20 voxels need 1\.1 GB of memory in the semantic network"):
                expect_room(geometry, grid, PLAN)
        else:
            expect_room(geometry, grid, PLAN)
    with pytest.raises(
        Unusable, match=r"a cutout of 248 x 304 x 64 voxels needs 2\.5 GB .* instance network, 2 GB are"
    ):
        expect_room(geometry, GRID, dataclasses.replace(PLAN, room=Room(2e9, 0, 2.47e9)))


def test_the_analysis_refuses_before_any_phase_works() -> None:
    """No phase after the rebuilding begins, whatever the reason."""
    spine = spines.spine("lumbar")
    engines = spines.engines("lumbar")
    assert engines.vertebra is not None
    far = Volume(spine.image, dataclasses.replace(spine.geometry, affine=spine.geometry.affine * 1000))
    text = Volume(spine.image.astype(np.complex64), spine.geometry)
    plan = dataclasses.replace(engines.vertebra.plan, room=Room(1.0, 0, 2.0))
    small = Engines(engines.semantic, _Planned(plan))
    for volume, parts, sentence in ((far, engines, "model's grid"), (text, engines, "complex64"),
                                    (Volume(spine.image, spine.geometry), small, "instance network")):  # fmt: skip
        begun: list[str] = []
        with pytest.raises(Unusable, match=sentence):
            analyse(volume, parts, phases=lambda phase, *_, begun=begun: begun.append(phase))
        assert set(begun) == {"rebuild"}


@dataclasses.dataclass(frozen=True)
class _Planned:
    """An instance network of which only the plan is asked."""

    plan: CutoutPlan
