"""vapipe: a two-stage feature-cache pipeline for audio-visual valence/arousal estimation."""

__version__ = "0.1.0"
