"""The top floor: faces parse and print; they must never decide. Every face asks verbs.py."""
