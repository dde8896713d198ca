"""What all pages share and what needs no Streamlit: words, colours, names, keys."""
