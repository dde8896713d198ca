"""Errors that people are meant to read."""

from __future__ import annotations

import doctest
import pickle
import warnings
from pathlib import Path

from mocoop import errors
from mocoop.cli import main as cli
from mocoop.errors import PathError, UserNote, notes_in_words


def test_examples():
    assert doctest.testmod(errors) == (0, 1)


def test_a_path_stands_apart_from_what_is_said_of_it():
    error = PathError(Path("sets/cat"), " holds no image. Add some.", "Class folder")
    assert str(error) == "Class folder sets/cat holds no image. Add some."
    assert error.with_name("cat") == "Class folder cat holds no image. Add some."
    assert str(PathError(Path("a.yaml"), ": no.")) == "a.yaml: no."
    again = pickle.loads(pickle.dumps(error))
    assert (str(again), again.path) == (str(error), error.path)


def test_notes_are_told_in_words(capsys, monkeypatch):
    """Only notes for people lose the place in the code, and only inside."""
    others = []
    monkeypatch.setattr(warnings, "showwarning", lambda *said: others.append(said[:2]))
    before = warnings.showwarning
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        with notes_in_words():
            warnings.warn("mind the activation", UserNote, stacklevel=1)
            warnings.warn("old argument", FutureWarning, stacklevel=1)
    assert capsys.readouterr().err == "mocoop: note: mind the activation\n"
    ((message, category),) = others
    assert (str(message), category) == ("old argument", FutureWarning)
    assert warnings.showwarning is before


def test_commands_tell_notes_in_words(capsys, monkeypatch):
    """So does the app's log, which holds what the command printed."""
    kind, _ = cli.COMMANDS["runs"]
    note = lambda command: warnings.warn("mind the file", UserNote, stacklevel=1)
    monkeypatch.setitem(cli.COMMANDS, "runs", (kind, note))
    assert cli.main(["runs"]) == 0
    assert capsys.readouterr().err == "mocoop: note: mind the file\n"
