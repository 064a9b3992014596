"""What a model costs: parameters, multiply-accumulates, time, memory. Takes a module and a shape."""

from levelfield.cost.macs import MacCounter, count_macs
from levelfield.cost.memory import measure_memory
from levelfield.cost.one_process import Setting
from levelfield.cost.parameters import count_parameters
from levelfield.cost.profile import profile, quick_profile
from levelfield.cost.timing import Timing, measure, measure_inference

__all__ = [
    "MacCounter",
    "Setting",
    "Timing",
    "count_macs",
    "count_parameters",
    "measure",
    "measure_inference",
    "measure_memory",
    "profile",
    "quick_profile",
]
