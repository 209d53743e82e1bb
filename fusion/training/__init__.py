"""Fits: the training loop, its schedule and checkpoints."""
