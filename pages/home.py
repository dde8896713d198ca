"""The Home page: what MoCoOp is, one image's way through the mixture, and what to do next."""

import streamlit as st

from app.caches import data as data_caches
from app.caches import runs as run_caches
from app.common import access, state
from app.common.methods import experts_in_words
from app.home.machine import describe_machine
from app.home.pipeline import pipeline_svg, pipeline_view
from app.ui.entry import inside_the_app
from app.ui.parts import errors_in_words
from app.ui.pickers import first_choice
from mocoop.datasets.builtin import SceneItem
from mocoop.runs.run import list_runs

inside_the_app()
st.title("MoCoOp: a mixture of prompts")
st.markdown(
    "CLIP recognises what is in an image by comparing it with sentences such as *a photo of a "
    "cat*. MoCoOp **learns** several such prompts from a few images per class. Each is an "
    "**expert**, say for sketches or for the small thing in a corner. For every image, a small "
    "**router** chooses the experts that suit it and mixes their predictions."
)
runs = {run.name: run for run in run_caches.finished_runs()}
chosen, number = "", 0
with st.container(horizontal=True):
    if runs:
        explore = st.button("Explore a finished run", icon=":material/alt_route:", type="primary")
    train = not access.read_only() and st.button(
        "Train one now (about 15 s)",
        icon=":material/model_training:",
        type="secondary" if runs else "primary",
    )
    if runs:
        st.space("stretch")
        asked = st.query_params.get(state.RUN, "")
        names = list(runs)
        # Not bound to the address: `switch_page` refuses to leave with a bound parameter.
        chosen = st.selectbox(
            "Run",
            names,
            index=names.index(asked if asked in runs else first_choice(runs)),
            format_func=run_caches.labels_of(runs).__getitem__,
            key=state.HOME_RUN,
            width=440,
            label_visibility="collapsed",
        )
        text = st.query_params.get(state.SAMPLE, "")
        number = int(text) if text.isdecimal() else 0
        if st.button("Another image", icon=":material/shuffle:"):
            number += 1
            st.query_params[state.SAMPLE] = str(number)
        if chosen != asked:
            st.query_params[state.RUN] = chosen
        if explore:
            st.switch_page("pages/routing.py", query_params={state.RUN: chosen})
if train:
    st.switch_page("pages/train.py")

if runs:
    with errors_in_words():
        item, image, routed = run_caches.routed_sample(runs[chosen], number)
        label = routed.class_names[item.label]
        routed, starts = experts_in_words(routed, run_caches.setup_of(runs[chosen]))
        role = item.role if isinstance(item, SceneItem) else ""
        view = pipeline_view(routed, starts, image, label, item.style, role)
        st.markdown(pipeline_svg(view), unsafe_allow_html=True)  # st.html would drop the SVG
elif access.read_only():
    st.info("There is no finished run here yet.")
else:
    st.info(
        "There is no finished run yet. Train one: it takes about 15 seconds and needs neither a "
        "GPU nor a network. Images and their predictions then appear here.",
        icon=":material/model_training:",
    )

machine = describe_machine(list_runs(), data_caches.sets_at_hand())
facts = {
    ":material/memory: This machine": machine.device,
    ":material/visibility: CLIP": machine.clip,
    ":material/image: Data sets": machine.data_sets,
    ":material/history: Runs": f"{machine.finished} finished of {machine.runs}",
}
for column, (title, text) in zip(st.columns(len(facts), border=True), facts.items(), strict=True):
    column.markdown(f"**{title}**  \n{text}")
