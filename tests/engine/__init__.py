"""The second floor, file by file: each through its public seam, in virtual time."""
