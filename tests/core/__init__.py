"""The ground floor, one test file per source file."""
