"""What a test does where this machine lacks what it needs: it is skipped by name, and with CI=true it fails."""

from __future__ import annotations

import os
from typing import NoReturn

import pytest


def absent(sentence: str) -> NoReturn:
    """Ends the test with that sentence."""
    if os.environ.get("CI") == "true":
        pytest.fail(sentence, pytrace=False)
    pytest.skip(sentence)
