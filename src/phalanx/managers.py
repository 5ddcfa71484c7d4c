"""`multiprocessing.managers` with our pools."""

from multiprocessing.managers import BaseManager, BaseProxy, Namespace, SharedMemoryManager, Token

from phalanx._api.managing import SyncManager

__all__ = ["BaseManager", "BaseProxy", "Namespace", "SharedMemoryManager", "SyncManager", "Token"]
