"""A model of the whole path, driven by random choices; see world.py."""

from tests.model.faults import Faults, Violation
from tests.model.seeds import run_seed
from tests.model.world import World

__all__ = ["Faults", "Violation", "World", "run_seed"]
