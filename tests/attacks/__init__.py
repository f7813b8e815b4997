"""Attacks of attacks.md that need more than one floor: lengths, JSON bombs, the local API, canaries, compression."""
