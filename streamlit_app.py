"""The app: `streamlit run streamlit_app.py`."""

import streamlit as st

from app.common import state
from app.ui.entry import import_slow_modules
from mocoop.assets import asset

st.set_page_config("MoCoOp", str(asset("icon.svg")), layout="wide")
st.session_state[state.ENTERED] = True
page = st.navigation(
    [
        st.Page("pages/home.py", title="Home", icon=":material/home:", default=True),
        st.Page("pages/data.py", title="Data", icon=":material/photo_library:"),
        st.Page("pages/train.py", title="Train", icon=":material/model_training:"),
        st.Page("pages/routing.py", title="Routing", icon=":material/alt_route:"),
        st.Page("pages/prompt_space.py", title="Prompt space", icon=":material/scatter_plot:"),
        st.Page("pages/overfitting_lab.py", title="Overfitting lab", icon=":material/science:"),
        st.Page("pages/compare.py", title="Compare", icon=":material/table_chart:"),
    ],
    position="top",
)
# Not as `st.html`, which puts styles where a page that runs again at once can lose them.
st.markdown(f"<style>{asset('app.css').read_text()}</style>", unsafe_allow_html=True)
with st.spinner("Starting …"):  # shown once, if at all: what is imported stays
    import_slow_modules()
page.run()
