"""Dockerfiles read, and executed without Docker."""
