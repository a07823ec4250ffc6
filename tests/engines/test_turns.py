"""Networks in turns: one at a time, whatever the number of series in hand."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from spineps_pacs.domain.errors import Cancelled
from spineps_pacs.domain.ports import Cutouts, Engines
from spineps_pacs.domain.volume import Geometry, Volume
from spineps_pacs.engines.phantom import PhantomEngines, Truth
from spineps_pacs.engines.turns import Turns

LONG_S = 60
SHAPE = (8, 8, 8)


@pytest.fixture
def engines() -> Engines:
    """Networks that know one vertebra."""
    bodies = np.zeros(SHAPE, np.uint8)
    bodies[2:6, 2:6, 2:6] = 20
    return PhantomEngines.over([Truth(bodies, bodies, Geometry(np.eye(4), SHAPE))])


def test_all_networks_answer_as_they_are(engines: Engines) -> None:
    """What the networks say, and what is known of them, is not changed."""
    turned = Turns().over(engines)
    image = Volume(np.zeros(SHAPE, np.float32), Geometry(np.eye(4), SHAPE))
    cutouts = Cutouts(np.zeros((1, *SHAPE), np.uint8), (image.geometry,))
    assert turned.vertebra is not None
    assert turned.levels is not None
    assert engines.vertebra is not None
    assert engines.levels is not None
    for own, other in zip(_parts(turned), _parts(engines), strict=True):
        assert own.info == other.info
    assert turned.semantic.grid == engines.semantic.grid
    assert turned.vertebra.plan == engines.vertebra.plan
    assert turned.levels.plan == engines.levels.plan
    watched = threading.Event()
    assert turned.semantic.predict(image, lambda *_: watched.set()).labels.max() == 20
    assert turned.vertebra.predict(cutouts, lambda *_: None).max() == 2
    scores = turned.levels.predict(cutouts, lambda *_: None)
    assert int(scores["VERT"].argmax()) == 19
    assert watched.is_set()


def _parts(engines: Engines) -> list[object]:
    return [engines.semantic, engines.vertebra, engines.levels]


def test_one_network_runs_at_a_time() -> None:
    """The second waits until the first is through, and hears meanwhile whether it is wanted."""
    turns, first_in, go, waits, order = Turns(), threading.Event(), threading.Event(), threading.Event(), []

    def first() -> None:
        with turns.mine(lambda *_: None):
            first_in.set()
            assert go.wait(LONG_S)
            order.append("first")

    def second() -> None:
        with turns.mine(lambda *_: waits.set()):
            order.append("second")

    with ThreadPoolExecutor() as pool:
        one = pool.submit(first)
        assert first_in.wait(LONG_S)
        two = pool.submit(second)
        assert waits.wait(LONG_S)
        go.set()
        one.result(LONG_S)
        two.result(LONG_S)
    assert order == ["first", "second"]


def test_who_is_cancelled_while_waiting_waits_no_longer() -> None:
    """The turn stays with the one who has it, and the next gets it."""
    turns = Turns()

    def stop(_done: int, _total: int) -> None:
        raise Cancelled("cancelled by a person")

    def wait() -> None:
        with turns.mine(stop):
            raise AssertionError("two had the turn")

    with ThreadPoolExecutor() as pool, turns.mine(lambda *_: None), pytest.raises(Cancelled):
        pool.submit(wait).result(LONG_S)
    with turns.mine(stop):
        pass
