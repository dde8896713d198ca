"""The Streamlit app's own modules; the pages are in `pages/`."""
