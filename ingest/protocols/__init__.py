"""Wire formats: each module turns a request body into events as sent, or says why it cannot.

A protocol knows bytes and spelling only. Whether an event is acceptable is decided by `ingest.accept`, for all alike.
What the rest of the write side knows of a protocol is its `reader.Reader`; `detect` chooses one.
"""
