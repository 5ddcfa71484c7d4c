"""Frames and messages: bytes in, messages out. Pure."""
