"""The read side people look at: pages, live push and the query API over the read model."""
