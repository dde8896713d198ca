"""The small CLIP of the built-in demo: trained on drawn scenes, and measured."""
