"""The demo's data set: clips drawn with planted valence and arousal."""
