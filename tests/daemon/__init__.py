"""The third floor, one test file per source file."""
