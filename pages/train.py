"""The Train page: settings on the left; the current run or the templates on the right."""

import streamlit as st

from app.caches import data as data_caches
from app.common import access
from app.train import form as widgets
from app.train.more_settings import more_settings
from app.train.panel import training_panel
from app.ui.entry import inside_the_app
from app.ui.parts import errors_in_words

inside_the_app()
st.title("Train")
form, panel = st.columns([1, 2], gap="large")
progress, templates = panel.tabs(
    [":material/show_chart: Progress", ":material/edit_note: Templates"]
)

if access.read_only():
    form.info(access.EXPLAINED, icon=":material/visibility:")
    with progress:
        training_panel()
    st.stop()

with form, errors_in_words():
    config = widgets.basic_settings()
    dataset = data_caches.dataset(config.data)
    with templates:
        rows = widgets.template_table(config, dataset)
    config = more_settings(config, dataset)
    with templates:
        config = widgets.apply_templates(config, dataset, rows)
    widgets.start_button(config, dataset)

with progress:
    training_panel()
