"""Faces: found, followed through time, smoothed and cut out."""
