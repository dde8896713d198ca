"""Imports what every page needs and what takes seconds, in one go.

The hundreds of thousands of objects that come with it stay for good: looking for garbage among
them, over and over while they are made, would take a fifth of the time, and 0.2 s whenever it is
done later.
"""

import gc

gc.disable()
import open_clip  # noqa: E402, F401
import torch  # noqa: E402, F401

gc.freeze()
gc.enable()
