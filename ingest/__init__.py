"""The write side: HTTP in, validated batches of events out to the log."""
