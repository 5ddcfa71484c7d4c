"""The two ends of a worker's channel, made so that no process but the two ever holds them."""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING

from phalanx._platform.forked import close_in_children, making_descriptors

if TYPE_CHECKING:
    from phalanx._base.channel import Channel


def open_socket_channel() -> tuple[Channel, socket.socket]:
    """The parent's end, and the socket to hand to the worker."""
    from phalanx._transport import SocketChannel  # the worker's side of this package does without

    ours, theirs = open_pair()
    return SocketChannel(ours), theirs


def open_pair() -> tuple[socket.socket, socket.socket]:
    """A pair of stream sockets that processes forked from this one will not hold."""
    with making_descriptors():
        ours, theirs = socket.socketpair()
        close_in_children(ours)
        close_in_children(theirs)
    return ours, theirs
