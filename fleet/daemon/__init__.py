"""Third floor, the daemon: one process per machine that wires the floors below; never a decision about a message."""
