"""Image features: one way to compute them, and a cache on disk that goes by content."""
