"""Stage one: videos in, frame-aligned features in the cache out."""
