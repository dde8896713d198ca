"""The old path of `mocoop.encode_images`, which READMEs of exports by version 0.1 use."""

from mocoop.features.encode import encode_images

__all__ = ["encode_images"]
