"""The parts of the stack: each one's configuration, its start, and the probe that shows that it answers."""
