"""Locks that survive their holder."""

from phalanx._sync.locks import Lock, RLock

__all__ = ["Lock", "RLock"]
