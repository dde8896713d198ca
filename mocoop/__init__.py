"""Mixtures of soft prompts for CLIP."""

import os

__version__ = "0.1.0"

# Threads that spin while they wait for each other stall as soon as anything else wants a core: a
# training next to a busy browser took five times as long on two cores. OpenMP reads this when
# torch loads; a value that is set already is kept.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
