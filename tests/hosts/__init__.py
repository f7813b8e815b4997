"""Real hosts in network namespaces (root): cut, slow and lossy roads, joining across machines, full disks."""
