"""The Train page: settings on the left; the current run or the templates on the right."""

import streamlit as st

from app.caches import data as data_caches
from app.common import access
from app.train import form as widgets
from app.train import panel_words as words
from app.train.more_settings import more_settings
from app.train.overfit import form_is_shown, overfit_button
from app.train.panel import training_panel
from app.train.settings import overfitting
from app.train.template_table import template_table
from app.train.tower_view import draw_towers
from app.train.words import filled_in
from app.ui.entry import inside_the_app
from app.ui.messages import errors_in_words
from mocoop.methods import METHODS

inside_the_app()
st.title(words.TITLE)
with st.container(key="narrow-train"):
    form, panel = st.columns([1, 2], gap="large")
progress, templates = panel.tabs(
    [f":material/show_chart: {words.PROGRESS}", f":material/edit_note: {words.TEMPLATES}"]
)

if access.read_only():
    form.info(access.EXPLAINED, icon=":material/visibility:")
    with progress:
        training_panel()
    st.stop()

with form, errors_in_words():
    config = widgets.basic_settings()
    start = st.container()  # here it is in sight; it is filled when all settings are known
    overfit_button()
    dataset = data_caches.dataset(config.data)
    with templates:
        rows = template_table(config, dataset)
    config = more_settings(config, dataset)
    with templates:
        config = widgets.apply_templates(config, dataset, rows)
    form_is_shown()
    widgets.about_the_method(config.method)
    draw_towers(config, dataset)
    with start:
        if config == overfitting():
            told = filled_in(config, METHODS[config.method].label)
            st.info(told, icon=":material/visibility:")
        widgets.start_button(config, dataset)

with progress:
    training_panel()
