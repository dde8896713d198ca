"""A built-in world of drawn scenes in which the words around a name decide what is meant."""
