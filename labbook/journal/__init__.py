"""The journal: crash-safe binary records, one `write(2)` a call. Standard library only."""
