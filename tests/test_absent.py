"""What tests do where a real program is not installed."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from conftest import pytest_runtest_setup


class NeedsThat:
    """A test that needs a program which no machine has."""

    def iter_markers(self, name: str) -> Iterator[pytest.Mark]:
        yield getattr(pytest.mark, name)("no-such-program").mark


@pytest.mark.parametrize(
    ("ci", "ending"), [("", pytest.skip.Exception), ("true", pytest.fail.Exception)], ids=["daily", "ci"]
)
def test_a_program_that_is_absent_is_named(
    monkeypatch: pytest.MonkeyPatch, ci: str, ending: type[BaseException]
) -> None:
    """Its test is skipped with the program's name, and fails where CI demands everything."""
    monkeypatch.setenv("CI", ci)
    with pytest.raises(ending, match="no-such-program is not installed"):
        pytest_runtest_setup(NeedsThat())  # type: ignore[arg-type]
