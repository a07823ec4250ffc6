"""Tests of the measures and their tables, on masks made by hand."""
