"""vapipe: a two-stage feature-cache pipeline for audio-visual valence/arousal estimation."""

import os

__version__ = "0.1.0"

# Threads of torch that wait for each other sleep instead of spinning: on a machine that other
# processes use too, spinning made small networks up to twenty times slower. Read when torch loads.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
