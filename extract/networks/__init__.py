"""Networks whose code is ours, and all that files of weights fit; no weights here."""
