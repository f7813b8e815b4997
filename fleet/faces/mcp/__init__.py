"""`fleet mcp`: the verbs as tools for agents, in a process of its own; needs the extra `mcp`, holds no key and no store."""
