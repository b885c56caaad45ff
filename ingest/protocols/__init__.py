"""Wire formats: each module turns a request body into events as sent, or says why it cannot.

A protocol knows bytes and spelling only. Whether an event is acceptable is decided by `ingest.accept`, for all alike.
"""
