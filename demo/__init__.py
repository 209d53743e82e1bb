"""The demo: clips drawn with planted valence and arousal, and the commands that run on them."""
