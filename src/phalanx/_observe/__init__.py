"""Readers only: progress, and what else wants to know."""
