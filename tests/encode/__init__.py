"""Tests of the encoders, on blobs in known places."""
