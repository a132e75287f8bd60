"""Documents of a partner: each is taken or refused by itself."""

from __future__ import annotations

import msgspec
import pytest

from relto.agreements.lifecycle import PAYLOAD_TYPE
from relto.envelope.dsse import sign
from relto.exchange import documents
from relto.exchange.documents import Papers
from relto.exchange.steps import Ask, drive
from tests.exchange.worlds import Observer, keys

pytestmark = pytest.mark.pure


def test_an_agreement_in_a_form_of_tomorrow_holds_up_nothing_else() -> None:
    us = Observer("USA", ("JPN",))
    unreadable = sign(PAYLOAD_TYPE, b'format = "relto-agreement/2"\nid = "X"\n', (keys("JPN", "authority"),))
    papers = Papers(v=1, agreements=(unreadable,), recalled=(), more_recalled=False)

    def ask(effect: Ask) -> bytes:
        return msgspec.msgpack.encode(papers) if type(effect.request).__name__ == "Documents" else b""

    found = drive(documents.refresh(us.core, "JPN"), us.store, ask)
    assert (found.taken, found.known) == (0, 0)
    assert any("relto-agreement/1" in reason or "finding" in reason for reason in found.refused), found
