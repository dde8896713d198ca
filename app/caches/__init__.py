"""Streamlit caches of data sets and runs; each key holds everything that the value depends on."""
