"""The old path of `mocoop.encode_images`, which READMEs of exports made before 0.2 use."""

from mocoop.features.encode import encode_images

__all__ = ["encode_images"]
