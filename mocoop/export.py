"""The old path of `mocoop.load_export`, which READMEs of exports by version 0.1 use."""

from mocoop.classifiers.export import load_export

__all__ = ["load_export"]
