"""The parts of channels/git.py: a command, a bare repository, what goes out, what comes in; never a road of its own."""
