"""Tests of analysis/disc_check.py: bodies by the discs, arches by the network."""

from __future__ import annotations

import numpy as np

from spineps_pacs.analysis.disc_check import settled


def test_arches_follow_the_network_and_bodies_the_discs() -> None:
    """A merged pair is parted; slanting arches stay with the body that the network gives them to."""
    structures = np.zeros((10, 40, 3), dtype=np.uint8)
    by_discs, drawn = np.zeros(structures.shape, np.uint16), np.zeros(structures.shape, np.uint16)
    structures[:4], structures[6:] = 49, 41
    for number in range(1, 5):
        by_discs[:, 10 * number - 10 : 10 * number] = number
    by_discs[4:6] = 0
    drawn[:4, :10], drawn[:4, 10:20], drawn[:4, 20:] = 7, 5, 2
    drawn[6:, 4:14], drawn[6:, 14:24], drawn[6:, 24:] = 7, 5, 2
    found = settled(by_discs, drawn, structures)
    assert np.array_equal(found[:4], by_discs[:4])
    expected = np.zeros(40, dtype=np.uint16)
    expected[:4], expected[4:14], expected[14:24], expected[24:30], expected[30:] = 1, 1, 2, 3, 4
    assert np.array_equal(found[7, :, 1], expected)


def test_what_the_network_left_out_stays_as_the_discs_have_it() -> None:
    """Arches without a vertebra of the network, and bodies that it did not see, are not lost."""
    structures = np.zeros((6, 20, 2), dtype=np.uint8)
    structures[:3], structures[3:] = 49, 42
    by_discs = np.zeros(structures.shape, np.uint16)
    by_discs[:, :10], by_discs[:, 10:] = 1, 2
    drawn = np.zeros(structures.shape, np.uint16)
    drawn[:, 10:] = 3
    assert np.array_equal(settled(by_discs, drawn, structures), by_discs)
