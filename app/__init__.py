"""Modules of the Streamlit app; its pages are in `pages/`."""
