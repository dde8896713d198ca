"""Errors that people are meant to read."""

from __future__ import annotations

import doctest
import pickle
from pathlib import Path

from mocoop import errors
from mocoop.errors import PathError


def test_examples():
    assert doctest.testmod(errors) == (0, 1)


def test_a_path_stands_apart_from_what_is_said_of_it():
    error = PathError(Path("sets/cat"), " holds no image. Add some.", "Class folder")
    assert str(error) == "Class folder sets/cat holds no image. Add some."
    assert error.with_name("cat") == "Class folder cat holds no image. Add some."
    assert str(PathError(Path("a.yaml"), ": no.")) == "a.yaml: no."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path) == (str(error), error.path)
