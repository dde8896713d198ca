"""Export, import and deletion of runs on the Compare page."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.caches.run_list import is_listed
from app.common import access, changes, state
from app.compare import words
from app.compare.documents import report_button, run_documents
from app.ui.messages import errors_in_words
from app.ui.notes import note_soon
from app.ui.safe_markdown import without_directives
from mocoop.errors import UserError
from mocoop.runs.delete import why_kept
from mocoop.runs.export_zip import archive_bytes, archive_name
from mocoop.runs.run import Run
from mocoop.runs.status import FINISHED

MAX_UPLOAD_MB = 200


def actions(picked: Mapping[str, Run]) -> None:
    """Shows the buttons for the selected runs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(picked) == 1:
            with errors_in_words():  # it may have been deleted in the meantime
                _for_one(*next(iter(picked.items())))
        elif picked:
            st.markdown(words.selected(len(picked)), width="content")
            report_button(picked)
        else:
            st.caption(words.SELECT_RUNS)
        may_delete = picked and not access.read_only()
        if may_delete and st.button(words.DELETE, icon=":material/delete:"):
            st.dialog(words.ask_to_delete(len(picked)))(ask_to_delete)(dict(picked))


def _for_one(name: str, run: Run) -> None:
    """Shows the buttons for a single run."""
    if run.status().state != FINISHED:
        st.caption(words.ONLY_FINISHED)
        return
    st.download_button(
        words.EXPORT,
        lambda: archive_bytes(run),
        f"{archive_name(run)}.zip",
        "application/zip",
        icon=":material/folder_zip:",
        on_click="ignore",
        help=words.EXPORT_HELP,
    )
    run_documents(run, name)
    if is_listed(run) and st.button(words.LOOK, icon=":material/alt_route:"):
        st.switch_page("pages/routing.py", query_params={state.RUN: name})


@errors_in_words()
def ask_to_delete(picked: dict[str, Run]) -> None:
    """Names the runs that would be deleted and those that stay, and deletes on request."""
    kept = {name: why for name, run in picked.items() if (why := why_kept(run)) is not None}
    doomed = {name: run for name, run in picked.items() if name not in kept}
    if doomed:
        st.markdown(words.WILL_BE_DELETED)
        st.markdown("\n".join(f"- `{name}`" for name in doomed))
    for name, why in kept.items():
        st.info(words.stays(name, why), icon=":material/lock:")
    with st.container(horizontal=True):
        # assets/app.css makes the button red, because deletion cannot be undone.
        if doomed and st.button(
            words.delete_runs(len(doomed)), key="destroy", icon=":material/delete:"
        ):
            _delete(doomed)
        if st.button(words.keep(len(picked))):
            st.rerun()


def _delete(doomed: dict[str, Run]) -> None:
    failed = []
    for run in doomed.values():
        try:
            changes.delete(run)
        except UserError as error:
            failed.append(str(error))
    left = [name for name in st.query_params.get_all(state.PICKED) if name not in doomed]
    st.query_params[state.PICKED] = left
    if failed:
        for text in failed:
            st.error(without_directives(text), icon=":material/error:")
        return
    note_soon(words.deleted(len(doomed)))
    st.rerun()


def import_panel() -> None:
    """Shows the form that imports a run from another machine, unless the server is read-only."""
    if access.read_only():
        return
    done = st.session_state.pop(state.IMPORTED, None)
    if done is not None:
        st.success(words.imported(done), icon=":material/check:")
    with st.expander(words.IMPORT_RUN, icon=":material/upload_file:"):
        st.caption(words.IMPORT_CAPTION)
        with st.form("import", border=False, clear_on_submit=False):
            file = st.file_uploader(
                words.RUN_AS_ZIP, type="zip", key=state.IMPORT_FILE, max_upload_size=MAX_UPLOAD_MB
            )
            name = st.text_input(
                words.NAME_HERE,
                key=state.IMPORT_NAME,
                placeholder=words.NAME_HINT,
                width=420,
                help=words.NAME_HELP,
            )
            asked = st.form_submit_button(words.IMPORT, icon=":material/upload_file:")
        if not asked:
            return
        if file is None:
            st.warning(words.CHOOSE_ZIP)
            return
        try:
            run = changes.import_run(file, name.strip(), words.BELOW_THE_FILE)
        except UserError as error:
            st.error(without_directives(str(error)), icon=":material/error:")
            return
        st.session_state[state.IMPORTED] = run.name
        st.rerun()
