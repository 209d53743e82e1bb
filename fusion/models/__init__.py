"""TCNs, fusion heads, regressors, and the whole network of a run."""
