"""Tools for testing what is built on phalanx, and what phalanx is built on."""

from phalanx.testing.simulation import Simulation, simulate

__all__ = ["Simulation", "simulate"]
