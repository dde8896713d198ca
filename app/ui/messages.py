"""Messages about what a user can change."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import streamlit as st

from app.ui.safe_markdown import without_directives
from mocoop.errors import UserError


@contextmanager
def errors_in_words() -> Iterator[None]:
    """Shows a UserError as a message on the page; any other exception is a bug and is raised."""
    try:
        yield
    except UserError as error:
        st.error(without_directives(str(error)), icon=":material/error:")
