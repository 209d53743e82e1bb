"""From the cache to batches: splits, the plan of a fit, tensors."""
