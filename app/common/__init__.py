"""Words, colours, names and keys that all pages share; this package needs no Streamlit."""
