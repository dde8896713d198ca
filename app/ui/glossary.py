"""The small panel that explains the words of a page, once for all pages that use them."""

from __future__ import annotations

import streamlit as st

from app.ui import words


def words_on_this_page(*terms: str) -> None:
    """Shows a button that opens one sentence for each term.

    Args:
        terms: keys of `words.PAGE_WORDS`.
    """
    with st.popover(words.WORDS_ON_THIS_PAGE, icon=":material/dictionary:", type="tertiary"):
        st.markdown("\n".join(f"- **{term}**: {words.PAGE_WORDS[term]}" for term in terms))
