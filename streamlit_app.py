"""The app; start it with `streamlit run streamlit_app.py`."""

import streamlit as st

from app.common import state
from app.common.imports import import_slow
from app.jobs.standby import stand_by
from app.ui import words
from app.ui.entry import warn_of_new_code
from app.ui.parts import errors_in_words
from mocoop.assets import asset

st.set_page_config("MoCoOp", str(asset("icon.svg")), layout="wide")
st.session_state[state.ENTERED] = True
page = st.navigation(
    [
        st.Page("pages/home.py", title=words.HOME, icon=":material/home:", default=True),
        st.Page("pages/data.py", title=words.DATA, icon=":material/photo_library:"),
        st.Page("pages/train.py", title=words.TRAIN, icon=":material/model_training:"),
        st.Page("pages/routing.py", title=words.ROUTING, icon=":material/alt_route:"),
        st.Page("pages/prompt_space.py", title=words.PROMPT_SPACE, icon=":material/scatter_plot:"),
        st.Page(
            "pages/overfitting_lab.py", title=words.OVERFITTING_LAB, icon=":material/science:"
        ),
        st.Page("pages/compare.py", title=words.COMPARE, icon=":material/table_chart:"),
    ],
    position="top",
)
# `st.html` is not used, because its styles can get lost when a page runs again at once.
st.markdown(f"<style>{asset('app.css').read_text()}</style>", unsafe_allow_html=True)
with errors_in_words():
    stand_by()  # before the imports, so that it makes itself ready beside them
with st.spinner(words.STARTING):  # only visible once, because the imports stay in memory
    import_slow(("torch", "open_clip"))
warn_of_new_code()
page.run()
