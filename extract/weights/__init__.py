"""Pretrained weights: which there are, getting them, proving them right, loading them."""
