"""Real daemons on loopback: what only processes, signals, sockets and files can show."""
