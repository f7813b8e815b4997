"""Fleet, a message bus between machines: this module says the version and must never do anything else."""

__version__ = "0.1.0"
