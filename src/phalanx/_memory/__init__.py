"""Blocks of shared memory that carry what is too large for a channel, and who may use them until when."""

from phalanx._memory.blocks import Block
from phalanx._memory.depot import Depot
from phalanx._memory.letting_go import listen
from phalanx._memory.parcels import LARGE, Borrowed, Loan, Offered, Parcel, lend_pickle, pack
from phalanx._memory.repeats import Repeats

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
    "listen",
    "pack",
]
