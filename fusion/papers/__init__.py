"""Sweeps, their tables, and the figures that papers report."""
