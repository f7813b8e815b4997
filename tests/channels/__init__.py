"""Every road in its own real world: one contract for all (contract.py), and what is special about each."""
