"""Image features: one way to compute them, and a cache on disk, keyed by image content."""
