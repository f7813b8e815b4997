"""Roads: each module carries opaque bytes to a peer; must never decide about a message."""
