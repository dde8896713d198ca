"""Sweeps: many settings compared on validation images, with a journal from which they go on."""
