"""The pre-calculated side: deltas from the log, and the read model built from them."""
