"""`tallyboard send`: the rows of a file as events."""
