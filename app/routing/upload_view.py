"""The tab that routes the user's own pictures and shows how changes move the routing."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field

import streamlit as st
import torch
from PIL import Image

from app.bench.opening import open_upload, shown_name
from app.bench.view import distances_of
from app.caches import data as data_caches
from app.caches import run_list
from app.caches import runs as run_caches
from app.caches.pictures import picture_feature
from app.common import state
from app.common.theme import expert_colours
from app.common.words import escape_markdown
from app.routing import effects, figures, tables, words
from app.routing.looking_view import look_into
from app.routing.neighbour_view import nearest_training_images
from app.side_by_side.view import beside_run
from app.ui import chips, layout
from app.ui.messages import errors_in_words
from app.ui.parts import show_figure
from app.ui.pictures import brighten_switch, show_picture
from mocoop.classifiers.base import Classifier, Routed
from mocoop.errors import UserError
from mocoop.evaluation.picture_content import without_content
from mocoop.runs.run import Run
from mocoop.storage.images import GROUNDS, TRANSPARENT

MAX_FILES, MAX_MEGABYTES = 12, 10
CARD_WIDTH = 240  # pixels
TALLEST = 1.5  # height of a card's picture, by its width
THINNEST = 8  # pixels that a tall picture is wide at least
SOURCES = (words.TEST_IMAGE, words.MY_FILES, words.CAMERA)


@dataclass(frozen=True)
class Picture:
    """A picture to route."""

    name: str
    image: Image.Image
    notes: tuple[str, ...] = ()
    truth: str | None = None
    reopen: Callable[[float | None], Image.Image] | None = field(default=None, repr=False)
    """Returns the picture with another value as white; None for test images."""

    @property
    def is_transparent(self) -> bool:
        """Whether parts of the file's picture are transparent."""
        return any(note.startswith(TRANSPARENT) for note in self.notes)


@st.fragment
@errors_in_words()
def try_a_picture(run: Run, picture: Picture | None) -> None:
    """Shows a test image, uploaded files or a photo, their routing, and sliders to change one.

    Args:
        run: the run that routes the pictures.
        picture: the test image to start with; None if there is none.
    """
    sources = SOURCES if picture is not None else SOURCES[1:]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        source = st.segmented_control(
            words.PICTURE,
            sources,
            default=sources[0],
            required=True,
            key=state.SOURCE,
            bind=state.QUERY,
        )
        brighten_switch()
    classifier = run_caches.classifier(run)
    own = picture is None or source != words.TEST_IMAGE
    pictures = own_pictures(source, run) if picture is None or own else [picture]
    if not pictures:
        return
    features = torch.stack([picture_feature(run, one.image) for one in pictures])
    routed = classifier.classify(features)
    chosen = 0
    if own:
        st.caption(words.always_one_of(len(classifier.class_names)))
        warn(run, pictures, features)
    names = [f"{number}. {one.name}" for number, one in enumerate(pictures, start=1)]
    if names != st.session_state.get(state.CHANGED_OF):  # the newest is the last one
        st.session_state[state.CHANGED_OF] = names
        st.session_state[state.CHANGED] = names[-1]
    if len(pictures) > 1:  # a single picture is only shown large, beside its sliders
        cards(pictures, routed)
        picked = st.selectbox(words.WHICH_TO_CHANGE, names, key=state.CHANGED)
        chosen = names.index(picked)
    before = classifier.classify(features[chosen : chosen + 1])
    change(pictures[chosen], before, classifier, run)


def warn(run: Run, pictures: list[Picture], features: torch.Tensor) -> None:
    """Says which pictures show nothing, or are unlike the training images of a run."""
    unlike = [False] * len(pictures)
    with suppress(UserError):  # the method has no training images, or they are gone
        training = distances_of(run)
        unlike = training.unlike(training.distances(features)).tolist()
    for picture, far in zip(pictures, unlike, strict=True):
        told = words.NO_CONTENT.get(without_content(picture.image)) or (
            words.UNLIKE if far else ""
        )
        if told:
            name = escape_markdown(picture.name)
            st.caption(f":material/warning: **{name}:** {told}")


def own_pictures(source: str, run: Run) -> list[Picture]:
    """Returns the uploaded pictures or the photo; shows which files cannot be read, and why."""
    white = run_list.setup_of(run).white
    if source == words.CAMERA:
        photo = st.camera_input(words.TAKE_PHOTO, key=state.CAMERA)
        given = [] if photo is None else [photo]
    else:
        given = st.file_uploader(
            words.uploader(MAX_FILES),
            accept_multiple_files=True,
            max_upload_size=MAX_MEGABYTES,
            key=state.UPLOADS,
        )
        if len(given) > MAX_FILES:
            st.warning(words.too_many(len(given), MAX_FILES))
    pictures = []
    for file in given[:MAX_FILES]:
        if file.size > MAX_MEGABYTES * 2**20:  # only the browser keeps to the limit by itself
            st.warning(words.too_large(MAX_MEGABYTES))
            continue
        try:
            picture = read_picture(file.getvalue(), shown_name(file.name), white=white)
            pictures.append((file, picture))
        except UserError as error:
            st.warning(escape_markdown(str(error)), icon=":material/broken_image:")
    if not any(picture.is_transparent for _, picture in pictures):
        return [picture for _, picture in pictures]
    ground = st.segmented_control(
        words.GROUND, GROUNDS, default="white", required=True, key=state.GROUND
    )
    return [
        read_picture(file.getvalue(), picture.name, ground, white) for file, picture in pictures
    ]


@st.cache_resource(show_spinner=False, max_entries=48)
def read_picture(
    content: bytes, name: str, ground: str = "white", white: float | None = None
) -> Picture:
    """Returns an uploaded picture, scaled down if it is large.

    Args:
        content: the file's bytes.
        name: its name in messages.
        ground: what transparent parts are shown on, one of `GROUNDS`.
        white: the value that is white in pictures of more than 8 bits, as in the run's training.

    Raises:
        UserError: if the content is not an image, or is damaged.
    """
    image, notes = open_upload(content, name, ground, white)

    def reopen(other: float | None) -> Image.Image:
        return open_upload(content, name, ground, other)[0]

    return Picture(name, image, tuple(notes), reopen=reopen)


def on_card(image: Image.Image) -> Image.Image:
    """Returns a picture as cards show it: beside a tall one is transparent space.

    Otherwise one tall picture would make all cards of its row as tall.
    """
    height = round(CARD_WIDTH * TALLEST)
    if image.height <= TALLEST * image.width:
        return image
    width = max(THINNEST, round(height * image.width / image.height))
    canvas = Image.new("RGBA", (CARD_WIDTH, height), (0, 0, 0, 0))
    canvas.paste(image.resize((width, height)), ((CARD_WIDTH - width) // 2, 0))
    return canvas


def cards(pictures: list[Picture], routed: Routed) -> None:
    """Shows pictures as cards with their predictions and experts."""
    colours = expert_colours(routed.experts)
    with layout.tiles("card", "mine"):
        for index, picture in enumerate(pictures):
            with st.container(border=True, gap="xsmall", height="stretch"):
                shown = data_caches.as_png(on_card(picture.image), CARD_WIDTH)
                show_picture(shown, width="stretch", alt=picture.name)
                best = tables.top_classes(routed, index, 1)
                html = chips.verdict(best["class"][0], best["probability"][0], picture.truth)
                if len(routed.experts) > 1:
                    html += chips.expert_chips(routed.chosen(index), colours)
                st.html(html)
                st.caption(" · ".join((escape_markdown(picture.name), *picture.notes)))


def change(picture: Picture, before: Routed, classifier: Classifier, run: Run) -> None:
    """Shows sliders, the changed picture, and its prediction and routing before and after."""
    left, middle, right = st.columns([2, 2, 3], gap="medium")
    with left:
        amounts = {
            name: st.slider(words.SLIDERS[name], 0, 100, step=5, key=name, bind=state.QUERY)
            for name in state.EFFECTS
        }
        wanted = effects.Effects(**amounts)
        st.button(
            words.RESET, icon=":material/restart_alt:", on_click=reset, disabled=not wanted.any
        )
    changed = effects.apply_effects(picture.image, wanted)
    feature = picture_feature(run, changed)
    now = classifier.classify(feature[None]) if wanted.any else before
    with middle:
        show_picture(data_caches.as_png(changed, 320), width="stretch", alt=words.CHANGED_ALT)
        if wanted.any:
            st.html(
                _prediction(words.BEFORE, before, picture.truth)
                + _prediction(words.NOW, now, picture.truth)
            )
        else:
            st.html(_prediction("", before, picture.truth))
        if picture.truth is None:
            st.caption(" · ".join((escape_markdown(picture.name), *picture.notes)))
    with right:
        moved = tables.share_table(before, now)
        if len(before.experts) > 1:
            figure = figures.moved_bars(moved, expert_colours(before.experts))
            show_figure(figure, "routing-moved", words.MOVED_ALT, moved)
        else:
            best = tables.top_classes(now, 0)
            figure = figures.class_bars(best, picture.truth)
            show_figure(figure, "classes-now", words.PICTURE_CLASSES_ALT, best)
    look_into(run, changed)
    own = run_list.setup_of(run).white

    def seen(other: Run) -> Image.Image:
        return effects.apply_effects(seen_by(other, picture, own), wanted)

    beside_run(run, changed, picture.truth, "picture", seen_by=seen)
    nearest_training_images(run, feature)


def seen_by(run: Run, picture: Picture, own: float | None) -> Image.Image:
    """Returns a picture as a run of the same data set sees it.

    Runs can differ in which value is white in pictures of more than 8 bits.

    Args:
        run: the run.
        picture: the picture.
        own: the value that was white when the picture was opened.

    Raises:
        UserError: if the run was deleted in the meantime.
    """
    white = run_list.setup_of(run).white
    return picture.image if picture.reopen is None or white == own else picture.reopen(white)


def reset() -> None:
    """Sets all sliders to 0."""
    for name in state.EFFECTS:
        st.session_state[name] = 0


def _prediction(when: str, routed: Routed, truth: str | None) -> str:
    """Returns the prediction for one picture as HTML, under a line such as "before"."""
    best = tables.top_classes(routed, 0, 1)
    verdict = chips.verdict(best["class"][0], best["probability"][0], truth)
    if not when:
        return verdict
    return f'<div style="font-size:.75rem;opacity:.7;margin-top:.4rem">{when}</div>{verdict}'
