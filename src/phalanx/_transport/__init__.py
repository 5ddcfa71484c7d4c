"""Moving bytes: the socket channel of processes and the in-memory channel of this process's own workers."""

from phalanx._transport.memory_channel import MemoryChannel, MemoryEnd
from phalanx._transport.socket_channel import Outgoing, SocketChannel

__all__ = ["MemoryChannel", "MemoryEnd", "Outgoing", "SocketChannel"]
