"""The old path of `mocoop.encode_images`, named by READMEs of exports made before 0.2."""

from mocoop.features.encode import encode_images

__all__ = ["encode_images"]
