"""Tests of the networks room, with tiny seeded model folders."""
