"""Run folders: written, read back, listed."""
