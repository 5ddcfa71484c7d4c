"""Both sides of a transfer in one process; duplicates of descriptors stand for those that a socket passes on."""

from __future__ import annotations

import os
import pickle
from collections import deque
from typing import Any

from phalanx._memory import Borrowed, Depot, Loan, Parcel, pack
from phalanx._memory.parcels import Dumps


class Crossing:
    """A lender and a borrower."""

    def __init__(self, depot: Depot | None = None) -> None:
        self.depot = depot or Depot()
        self.returned: deque[Any] = deque()
        self.borrowed = Borrowed(self.returned)

    def lend(self, obj: Any, dumps: Dumps = pickle.dumps) -> Loan:
        loan = pack(dumps, obj, self.depot)
        assert isinstance(loan, Loan)
        return loan

    def announce(self, loan: Loan) -> None:
        if self.borrowed.block(loan.block_id) is None:
            self.borrowed.learn(loan.block_id, loan.block.size, os.dup(loan.block.descriptor))

    def open(self, loan: Loan, token: Any = None) -> Parcel:
        self.announce(loan)
        self.depot.hold(loan.block_id)
        return self.borrowed.open(loan.data, token)

    def send(self, obj: Any) -> Any:
        """What arrives, whichever way it went."""
        packed = pack(pickle.dumps, obj, self.depot)
        if isinstance(packed, bytes):
            return pickle.loads(packed)
        return self.open(packed).load()

    def settle(self) -> list[Any]:
        """Tell the lender what was returned."""
        done = []
        while self.returned:
            done.append(self.returned.popleft())
            self.depot.let_go(done[-1])
        for block_id in self.depot.trimmed():
            self.borrowed.forget(block_id)
        return done

    def close(self) -> None:
        self.depot.close()
        self.borrowed.close()
