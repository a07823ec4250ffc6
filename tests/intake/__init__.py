"""Tests of the room or ring of that name."""
