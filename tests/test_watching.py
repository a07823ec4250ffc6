"""GPUs are read as the driver tells of them; none, and a driver that does not answer, are stated."""

from __future__ import annotations

import pytest

from spineps_pacs.domain.errors import TryAgain
from spineps_pacs.settings import Settings
from spineps_pacs.watching import MIB, Gpus, gpu

TWO = "0, NVIDIA RTX A4000, 1024, 16376, 37\n1, Tesla T4, 12, 15360, [N/A]\n"


def watched(answer: str | None, device: str = "auto") -> Gpus:
    current = Settings(models={"device": device})
    gpus = Gpus(lambda: current, lambda: answer)
    gpus.step()
    return gpus


def test_each_gpu_is_read() -> None:
    """Number, name, memory in bytes, share of the time; what a card does not tell stays open."""
    first, second = watched(TWO).seen()
    assert (first.number, first.name, first.used_bytes, first.total_bytes) == (
        "0",
        "NVIDIA RTX A4000",
        1024 * MIB,
        16376 * MIB,
    )
    assert first.busy == pytest.approx(0.37)
    assert second.busy is None
    assert watched(TWO).fact().good


def test_a_name_with_a_comma_is_whole() -> None:
    """Only the first comma and the last three divide."""
    assert gpu("3, Card, revision 2, 1, 2, 3").name == "Card, revision 2"


@pytest.mark.parametrize(("device", "good"), [("auto", True), ("cpu", True), ("cuda:1", False)])
def test_none_is_stated(device: str, good: bool) -> None:
    """A host without a GPU is well, unless the settings ask for one."""
    fact = watched(None, device).fact()
    assert fact.good is good
    assert "shows none" in fact.text
    assert watched(None, device).seen() == ()


def test_a_driver_that_does_not_answer_is_not_well() -> None:
    """And its cards of before are not shown as if they were there; it may come back."""
    answers = iter((TWO, None, TWO))

    def run() -> str:
        answer = next(answers)
        if answer is None:
            raise TryAgain("The driver does not answer: TimeoutExpired.")
        return answer

    gpus = Gpus(Settings, run)
    gpus.step()
    gpus.step()
    assert not gpus.fact().good
    assert "TimeoutExpired" in gpus.fact().text
    assert gpus.seen() == ()
    gpus.step()
    assert gpus.fact().good
