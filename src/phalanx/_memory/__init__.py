"""Blocks of shared memory that carry what is too large for a channel, and who may use them until when."""

from phalanx._memory.blocks import Block
from phalanx._memory.depot import Depot
from phalanx._memory.parcels import LARGE, Borrowed, Loan, Offered, Parcel, Repeats, lend_pickle, pack

__all__ = [
    "LARGE",
    "Block",
    "Borrowed",
    "Depot",
    "Loan",
    "Offered",
    "Parcel",
    "Repeats",
    "lend_pickle",
    "pack",
]
