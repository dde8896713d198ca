"""The app; start it with `streamlit run streamlit_app.py`."""

from contextlib import suppress

import streamlit as st

from app.common import state
from app.common.access import check_server
from app.jobs.standby import stand_by
from app.ui import words
from app.ui.entry import import_soon, wait_for_imports, warn_of_new_code
from app.ui.layout import page_style
from app.ui.messages import errors_in_words
from app.ui.notes import show_notes
from app.ui.safe_markdown import protect
from mocoop.assets import asset
from mocoop.errors import UserError

protect()
st.set_page_config("MoCoOp", str(asset("icon.svg")), layout="wide")
st.session_state[state.ENTERED] = True
home = st.Page("pages/home.py", title=words.HOME, icon=":material/home:", default=True)
train = st.Page("pages/train.py", title=words.TRAIN, icon=":material/model_training:")
page = st.navigation(
    [
        home,
        st.Page("pages/data.py", title=words.DATA, icon=":material/photo_library:"),
        train,
        st.Page("pages/routing.py", title=words.ROUTING, icon=":material/alt_route:"),
        st.Page("pages/prompt_space.py", title=words.PROMPT_SPACE, icon=":material/scatter_plot:"),
        st.Page(
            "pages/overfitting_lab.py", title=words.OVERFITTING_LAB, icon=":material/science:"
        ),
        st.Page("pages/federated.py", title=words.FEDERATED, icon=":material/hub:"),
        st.Page("pages/compare.py", title=words.COMPARE, icon=":material/table_chart:"),
    ],
    position="top",
)
# `st.html` is not used, because its styles can get lost when a page runs again at once.
st.markdown(f"<style>{page_style()}</style>", unsafe_allow_html=True)
with errors_in_words():
    check_server()
    # A page is ready sooner alone. But on Train the button can be pressed as soon as it is there,
    # so the process for the training starts before the page.
    if page == train:
        with suppress(UserError):  # told below
            stand_by()
    if page != home:  # it is shown without torch, if it can be
        wait_for_imports()
    show_notes()
    warn_of_new_code()
    page.run()
    import_soon()
    stand_by()
