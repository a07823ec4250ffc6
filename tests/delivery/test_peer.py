"""An association with a peer: its answers reach whoever asked."""

from __future__ import annotations

from typing import Any

import pytest
from pynetdicom.presentation import build_context
from pynetdicom.sop_class import Verification
from walk.node import eventually
from walk.peers import FakePacs

from spineps_pacs.delivery.peer import Peer

pytestmark = pytest.mark.filterwarnings("ignore:unclosed <s:ResourceWarning")


def test_no_other_thread_takes_an_answer() -> None:
    """The library's own looks for messages all the time; what comes is still there for the one who asked."""
    pacs = FakePacs()
    peer = Peer("127.0.0.1", pacs.port, "PACS", "SPINEPS", timeout_s=10.0)
    with peer.association([build_context(Verification)]) as association:
        looks: list[Any] = []
        seen = association.dul.idle_timer_expired
        association.dul.idle_timer_expired = lambda: (looks.append(None), seen())[1]  # at the end of each of its rounds
        answer = (1, object())
        association.dimse.msg_queue.put(answer)
        assert eventually(lambda: len(looks) > 3)
        assert association.dimse.get_msg(block=False) == answer
        assert association.send_c_echo().Status == 0
    pacs.close()
