"""Streamlit caches of data sets and runs; each names everything it depends on."""
