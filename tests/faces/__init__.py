"""The tests of the top floor."""
