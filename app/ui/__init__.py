"""Streamlit parts that several pages share: page entry, layout, chips, pickers."""
