"""The tests; this package must exist, or tests/channels would shadow channels."""
