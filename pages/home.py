"""The Home page: what MoCoOp is, a picture that tells why, and what to do next."""

from types import ModuleType

import streamlit as st

from app.caches import data_list, run_list
from app.common import access, state
from app.common.methods import method_name
from app.home import story_view, words
from app.home.machine import describe_machine
from app.home.pipeline import pipeline_svg
from app.home.shipped_story import ready_story
from app.home.story import story_pair
from app.lab.tabs import FIRST_LESSON, LESSON_TAB
from app.ui.entry import inside_the_app, wait_for_imports
from app.ui.messages import errors_in_words
from app.ui.pictures import brighten_switch
from app.ui.run_picker import choose_run, run_to_show
from mocoop.runs.run import Run, list_runs

MOST_DIGITS = 9  # of a picture's number in a link


def next_steps(first: bool) -> None:
    """Shows the buttons that lead to the first lesson and to a training."""
    if first and st.button(words.FIRST_LESSON, icon=":material/school:", type="primary"):
        lesson = {state.LAB_TAB: LESSON_TAB, state.LESSON: FIRST_LESSON}
        st.switch_page("pages/overfitting_lab.py", query_params=lesson)
    if not access.read_only() and st.button(
        words.TRAIN_ONE,
        icon=":material/model_training:",
        type="secondary" if first else "primary",
    ):
        st.switch_page("pages/train.py")


def pick(runs: dict[str, Run]) -> tuple[str, int]:
    """Returns the chosen run's name and the number of the picture; both are in the address."""
    explore = st.button(words.EXPLORE, icon=":material/alt_route:")
    st.space("stretch")
    # Not bound to the address: `switch_page` refuses to leave with a bound parameter.
    st.session_state[state.HOME_RUN] = chosen = run_to_show(runs, story_view.first_choice)

    def choose() -> None:
        choose_run(st.session_state[state.HOME_RUN])

    st.selectbox(
        words.RUN,
        list(runs),
        format_func=run_list.labels_of(runs).__getitem__,
        key=state.HOME_RUN,
        on_change=choose,
        width=460,
        label_visibility="collapsed",
    )
    text = st.query_params.get(state.SAMPLE, "")
    number = int(text) if text.isdecimal() and len(text) <= MOST_DIGITS else 0
    if st.button(words.ANOTHER_IMAGE, icon=":material/shuffle:"):
        number += 1
        st.query_params[state.SAMPLE] = str(number)
    if explore:
        choose_run(chosen)
        st.switch_page("pages/routing.py", query_params={state.RUN: chosen})
    return chosen, number


def picture_of(run: Run, runs: dict[str, Run], number: int) -> None:
    """Shows an image's way through a run; for a shipped mixture, other methods' answers too."""
    single = story_pair(run, runs.values(), run_list.setup_of)
    told = None
    if single is not None:
        ready = ready_story(run, single) if number == 0 else None
        told = ready or computing().told_about(run, single, number)
    if told is not None:
        with top:
            story_view.show(told)
        view = told.view
    else:
        view = computing().one_picture(run, number)
        if not view.right:
            often = words.how_often_right(run.results())
            method = method_name(run_list.setup_of(run).config)
            st.markdown(words.wrong(method, view.answer[0][0], view.label, often))
    # st.html would drop the SVG.
    st.markdown(pipeline_svg(view, with_image=told is None), unsafe_allow_html=True)
    st.caption(f"{words.HOW_TO_READ} {words.WHY_IT_COUNTS if view.role else ''}")


def computing() -> ModuleType:
    """Returns the module that asks the runs' classifiers; it imports torch."""
    wait_for_imports()
    from app.home import classified

    return classified


inside_the_app()
st.title(words.TITLE)
st.markdown(words.INTRO)
runs = {run.name: run for run in run_list.finished_runs()}
top = st.container()  # filled when the run and the picture are known
chosen, number = "", 0
with st.container(horizontal=True):
    next_steps(bool(runs))
    if runs:
        chosen, number = pick(runs)
        brighten_switch()
if runs:
    with errors_in_words():
        picture_of(runs[chosen], runs, number)
elif access.read_only():
    st.info(words.NO_RUN_HERE)
else:
    st.info(words.NO_RUN, icon=":material/model_training:")

machine = describe_machine(list_runs(), data_list.sets_at_hand())
facts = {
    f":material/memory: {words.THIS_MACHINE}": machine.device,
    f":material/visibility: {words.CLIP}": machine.clip,
    f":material/image: {words.DATA_SETS}": machine.data_sets,
    f":material/history: {words.RUNS}": words.runs(machine.finished, machine.runs),
}
for column, (title, text) in zip(st.columns(len(facts), border=True), facts.items(), strict=True):
    column.markdown(f"**{title}**  \n{text}")
