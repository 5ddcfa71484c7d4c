"""What a worker sends is whole, or the last that it sends."""

from __future__ import annotations

from typing import Any

import pytest

from phalanx._worker.outlet import Outlet


class Wire:
    """Takes what is sent, but for the second half of what strikes."""

    def __init__(self) -> None:
        self.taken = b""
        self.strike: BaseException | None = None

    def send(self, data: bytes) -> None:
        strike, self.strike = self.strike, None
        self.taken += data if strike is None else data[: len(data) // 2]
        if strike is not None:
            raise strike

    def send_descriptors(self, frames: Any, descriptors: Any) -> int:
        self.send(frames[0])
        return len(frames[0])


@pytest.mark.parametrize("strike", [KeyboardInterrupt(), SystemExit(), TimeoutError("an alarm")])
def test_nothing_follows_what_was_cut_off(strike: BaseException) -> None:
    wire = Wire()
    outlet = Outlet(wire.send, wire.send_descriptors)
    outlet.begin(1).extend([1, 2, 3])
    wire.strike = strike
    with pytest.raises(type(strike)):
        outlet.flush()
    before = wire.taken
    for send in (outlet.flush, outlet.end, lambda: outlet.send(b"x"), lambda: outlet.announce(b"x" * 24, 0)):
        with pytest.raises(ConnectionResetError, match="cut off"):
            send()
    assert wire.taken == before


def test_what_is_whole_is_followed_by_more() -> None:
    wire = Wire()
    outlet = Outlet(wire.send, wire.send_descriptors)
    outlet.begin(1).extend([1, 2, 3])
    outlet.flush()
    outlet.send(b"x")
    assert outlet.announce(b"y" * 24, 0)
    outlet.end()
    assert b"x" + b"y" * 24 in wire.taken
