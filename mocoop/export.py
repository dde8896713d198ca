"""The old path of `mocoop.load_export`, named by READMEs of classifiers exported before 0.2."""

from mocoop.classifiers.export import load_export

__all__ = ["load_export"]
