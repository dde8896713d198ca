"""Mixtures of soft prompts for CLIP."""

__version__ = "0.1.0"
