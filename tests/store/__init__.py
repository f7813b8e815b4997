"""The first floor through its public API, on real files."""
