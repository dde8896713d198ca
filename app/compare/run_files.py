"""Export, import and deletion of runs on the Compare page."""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from app.common import access, state
from app.compare.documents import report_button, run_documents
from app.ui.parts import errors_in_words
from mocoop.errors import UserError
from mocoop.runs.delete import delete_run, why_kept
from mocoop.runs.export_zip import archive_bytes, archive_name
from mocoop.runs.import_zip import read_archive
from mocoop.runs.run import Run, default_runs
from mocoop.runs.status import FINISHED

MAX_UPLOAD_MB = 200


def actions(picked: Mapping[str, Run]) -> None:
    """Shows the buttons for the selected runs."""
    with st.container(horizontal=True, vertical_alignment="center"):
        if len(picked) == 1:
            with errors_in_words():  # it may have been deleted in the meantime
                _for_one(*next(iter(picked.items())))
        elif picked:
            st.markdown(f"**{len(picked)} runs selected.**", width="content")
            report_button(picked)
        else:
            st.caption(
                "Select runs with the boxes on the left to see their curves, to export one run, "
                "or to delete runs."
            )
        may_delete = picked and not access.read_only()
        if may_delete and st.button("Delete …", icon=":material/delete:"):
            ask = "Delete this run?" if len(picked) == 1 else "Delete these runs?"
            st.dialog(ask)(_confirm)(dict(picked))


def _for_one(name: str, run: Run) -> None:
    """Shows the buttons for a single run."""
    if run.status().state != FINISHED:
        st.caption("Only a finished run can be exported.")
        return
    st.download_button(
        "Export as zip",
        lambda: archive_bytes(run),
        f"{archive_name(run)}.zip",
        "application/zip",
        icon=":material/folder_zip:",
        on_click="ignore",
        help="Settings, metrics, weights and a model card, for another machine.",
    )
    run_documents(run, name)
    listed = run.shipped or run.path.parent == default_runs()  # the other pages list only these
    if listed and st.button("Look at its predictions", icon=":material/alt_route:"):
        st.switch_page("pages/routing.py", query_params={state.RUN: name})


def _confirm(picked: dict[str, Run]) -> None:
    """Names the runs that would be deleted and those that stay, and deletes on request."""
    with errors_in_words():  # a dialog runs by itself, and a run may be deleted meanwhile
        _ask(picked)


def _ask(picked: dict[str, Run]) -> None:
    kept = {name: why for name, run in picked.items() if (why := why_kept(run)) is not None}
    doomed = {name: run for name, run in picked.items() if name not in kept}
    if doomed:
        st.markdown("These runs will be deleted for good, with their weights and metrics:")
        st.markdown("\n".join(f"- `{name}`" for name in doomed))
    for name, why in kept.items():
        st.info(f"`{name}` stays: {why}.", icon=":material/lock:")
    with st.container(horizontal=True):
        count = f"{len(doomed)} run{'s' * (len(doomed) != 1)}"
        # assets/app.css makes the button red, because deletion cannot be undone.
        if doomed and st.button(f"Delete {count}", key="destroy", icon=":material/delete:"):
            _delete(doomed)
        if st.button("Keep it" if len(picked) == 1 else "Keep them"):
            st.rerun()


def _delete(doomed: dict[str, Run]) -> None:
    access.check_may_change()
    failed = []
    for run in doomed.values():
        try:
            delete_run(run)
        except UserError as error:
            failed.append(str(error))
    left = [name for name in st.query_params.get_all(state.PICKED) if name not in doomed]
    st.query_params[state.PICKED] = left
    if failed:
        for text in failed:
            st.error(text, icon=":material/error:")
        return
    st.rerun()


def import_panel() -> None:
    """Shows the form that imports a run from another machine, unless the server is read-only."""
    if access.read_only():
        return
    done = st.session_state.pop(state.IMPORTED, None)
    if done is not None:
        st.success(f"Imported as `{done}`.", icon=":material/check:")
    with st.expander("Import a run", icon=":material/upload_file:"):
        st.caption(
            "Choose a zip that this page or `mocoop pack` wrote. It is checked before anything "
            "is saved."
        )
        with st.form("import", border=False, clear_on_submit=False):
            file = st.file_uploader(
                "Run as zip", type="zip", key=state.IMPORT_FILE, max_upload_size=MAX_UPLOAD_MB
            )
            name = st.text_input(
                "Name here",
                key=state.IMPORT_NAME,
                placeholder="as it was exported",
                width=420,
                help="Only needed if a run with the same name exists.",
            )
            asked = st.form_submit_button("Import", icon=":material/upload_file:")
        if not asked:
            return
        if file is None:
            st.warning("Choose a zip file first.")
            return
        try:
            run = read_archive(file, None, name.strip(), asked_by="below the file")
        except UserError as error:
            st.error(str(error), icon=":material/error:")
            return
        st.session_state[state.IMPORTED] = run.name
        st.rerun()
