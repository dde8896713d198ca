"""The old path of `mocoop.load_export`, which READMEs of exports made before 0.2 use."""

from mocoop.classifiers.export import load_export

__all__ = ["load_export"]
