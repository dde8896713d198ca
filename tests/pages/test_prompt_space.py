"""The Prompt space page: empty, loaded, failing; its map, epochs and what lies behind a point."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from dataclasses import asdict

import pandas as pd

from app.common import state
from app.jobs import maps as map_maker
from app.prompt_space import cached, words
from app.prompt_space import tables as space_tables
from mocoop.analysis import projection
from mocoop.analysis.projection import MapSettings
from tests.support.page_fixtures import open_page

PAGE = "pages/prompt_space.py"


def texts(elements):
    return " ".join(str(element.value) for element in elements)


def html(app):
    return " ".join(element.proto.body for element in app.get("html"))


def charts(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def test_empty_says_what_to_do(empty_runs):
    app = open_page(PAGE)
    assert not app.exception
    assert "no finished run yet" in texts(app.info)


def test_loaded_shows_numbers_map_and_words(one_run):
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    drift = app.dataframe[0].value
    assert drift["expert"].tolist() == list(one_run.setup().experts)
    assert drift["own cosine"].between(-1, 1).all()
    assert "Trustworthiness" in texts(app.markdown)
    assert "Distances between clusters say little" in texts(app.markdown)
    assert "Take care with these words" in texts(app.caption)
    assert len(app.multiselect(key=state.MAP_CLASSES).value) == 5
    # It opens on an expert that gets images of the class.
    got = re.search(r"\*\*(\d+) of \d+\*\* test images", texts(app.markdown))
    assert int(got[1]) > 0


def test_epoch_zero_is_before_any_drift(one_run):
    app = open_page(PAGE, run=one_run.name, epoch="0")
    assert not app.exception
    assert "at epoch 0" in texts(app.markdown)
    assert (app.dataframe[0].value["own nearest"] == 100).all()


def test_a_link_restores_the_view(one_run):
    expert, class_name = one_run.setup().experts[2], one_run.setup().class_names[3]
    query = {"dims": "3", "colour": "class", "look_expert": expert, "look_class": class_name}
    app = open_page(PAGE, run=one_run.name, **query)
    assert not app.exception
    assert app.selectbox(key=state.MAP_EXPERT).value == expert
    assert f"test images of *{class_name}* go to *{expert}*" in texts(app.markdown)
    assert "✚" in html(app)  # the mark of soft prompts in three dimensions
    assert "always flat" in texts(app.caption)  # the maps of the groups


def test_no_class_is_a_hint(one_run):
    app = open_page(PAGE, run=one_run.name)
    app.multiselect(key=state.MAP_CLASSES).set_value([]).run()
    assert not app.exception
    assert "Choose at least one class" in texts(app.info)


def test_a_run_of_other_classes_opens_on_its_own(one_run, empty_runs):
    """Not on the classes that both data sets have in common, or on none."""
    first = one_run.setup().class_names
    for name, changed in (("some", (*first[:2], *(f"{one} b" for one in first[2:]))),
                          ("none", tuple(f"{one} a" for one in first))):  # fmt: skip
        shutil.copytree(one_run.path, empty_runs / name)
        values = json.loads((empty_runs / name / "config.json").read_text())
        values["class_names"] = changed
        (empty_runs / name / "config.json").write_text(json.dumps(values))
    app = open_page(PAGE, run=one_run.name)
    usual = app.multiselect(key=state.MAP_CLASSES).value
    app.multiselect(key=state.MAP_CLASSES).set_value(list(first[:3])).run()
    for name in ("some", "none"):
        app.selectbox(key=state.RUN).set_value(name).run()
        assert not app.exception
        own = space_tables.few_classes(app.multiselect(key=state.MAP_CLASSES).options)
        assert app.multiselect(key=state.MAP_CLASSES).value == own
    app.selectbox(key=state.RUN).set_value(one_run.name).run()
    assert app.multiselect(key=state.MAP_CLASSES).value == usual
    assert not app.warning


def test_key_names_marks_groups_and_classes(one_run):
    app = open_page(PAGE, run=one_run.name)
    said = html(app)
    for text in ("hard prompt", "prototype", "soft prompt", *one_run.setup().experts):
        assert text in said
    assert "your prompt" not in said
    app = open_page(PAGE, run=one_run.name, colour="class", prompt="a photo of a {}.")
    assert not app.exception
    said = html(app)
    for name in app.multiselect(key=state.MAP_CLASSES).value:
        assert f'alt="{name}"' in said  # its picture
    assert "your prompt" in said


def test_search_marks_a_class_and_a_group(one_run):
    setup = one_run.setup()
    drawn = open_page(PAGE, run=one_run.name).multiselect(key=state.MAP_CLASSES).value
    hidden = next(name for name in setup.class_names if name not in drawn)
    app = open_page(PAGE, run=one_run.name, found=f"{hidden} (class)")
    assert not app.exception
    assert f"Marked: **{hidden}**, {len(setup.experts)} soft prompts" in texts(app.caption)
    rings = charts(app)[1]["data"][-1]
    assert rings["text"] == list(setup.experts)
    group = setup.experts[1]
    app.selectbox(key=state.MAP_FOUND).set_value(f"{group} (group)").run()
    assert f"Marked: **{group}**, 5 soft prompts" in texts(app.caption)
    app = open_page(PAGE, run=one_run.name, found="nothing of this name")
    assert not app.exception
    assert app.selectbox(key=state.MAP_FOUND).value is None


def test_chosen_point_shows_images_of_its_class(one_run):
    class_name, expert = one_run.setup().class_names[3], one_run.setup().experts[1]
    app = open_page(PAGE, run=one_run.name)
    assert "Click it to see images" in texts(app.caption)
    app = open_page(PAGE, run=one_run.name, look_class=class_name, look_expert=expert)
    assert "Click it to see images" not in texts(app.caption)
    assert f"{class_name} · {expert}" in texts(app.markdown)
    app.selectbox(key=state.MAP_CLASS).set_value(one_run.setup().class_names[5]).run()
    assert app.query_params["look_class"] == one_run.setup().class_names[5]
    app.run()
    assert f"{one_run.setup().class_names[5]} · {expert}" in texts(app.markdown)


def test_a_map_per_group_with_a_frame_per_epoch(one_run):
    setup = one_run.setup()
    app = open_page(PAGE, run=one_run.name, epoch="1")
    chart = charts(app)[2]
    titles = [note["text"] for note in chart["layout"]["annotations"]]
    assert titles == list(setup.experts)
    assert [frame["name"] for frame in chart["frames"]] == ["0", "1", "2", "3"]
    assert chart["layout"]["sliders"][0]["active"] == 1
    assert "An arrow shows the path of a soft prompt from epoch 0" in texts(app.caption)


def test_own_group_is_nearest_in_words(one_run):
    app = open_page(PAGE, run=one_run.name, epoch="0")
    assert "All experts kept their meaning" in texts(app.caption)
    shares = {"sketch": {"sketch": 0.25, "dark": 0.5, "photo": 0.25}}
    shares |= {
        name: {"sketch": 0, "dark": 0, "photo": 0} | {name: 1} for name in ("dark", "photo")
    }
    said = " ".join(words.own_group(shares))
    assert "for 25 % of the classes, the soft prompt of *sketch* is nearer" in said
    assert "For 50 % it is now nearest to *dark*." in said
    assert "So *sketch* says little" in said
    assert "2 of 3 experts have 100 %." in said


def stand_in(monkeypatch, code: str) -> list[MapSettings]:
    """Lets another process stand in for UMAP's; returns the settings it is asked for."""
    asked: list[MapSettings] = []

    def start(path, settings):
        asked.append(settings)
        command = [sys.executable, "-c", code]
        return map_maker.Fit(subprocess.Popen(command, stderr=subprocess.PIPE))

    monkeypatch.setattr(map_maker, "_start", start)
    return asked


def test_umap_never_blocks_the_page(one_run, monkeypatch):
    asked = stand_in(monkeypatch, "import time; time.sleep(60)")
    app = open_page(PAGE, run=one_run.name, map="UMAP")
    assert not app.exception
    assert "UMAP is computing this map in the background" in texts(app.info)
    assert "Until then you see PCA" in texts(app.info)
    assert "Trustworthiness" in texts(app.markdown)
    app.run()
    assert len(asked) == 1  # and is not begun twice
    fit = cached.fit_under_way(one_run, asked[0])
    monkeypatch.setattr(projection, "fit_umap", lambda features, settings: features[:, :2])
    map_maker.main(str(one_run.path), json.dumps(asdict(asked[0])))
    fit.process.kill()
    fit.process.wait()
    fit.process.returncode = 0  # what it would have left
    app.run()
    assert not app.info
    assert len(asked) == 1
    assert len(list(one_run.path.glob("projection-*.safetensors"))) == 2  # PCA and UMAP
    fit.process.stderr.close()


def test_umap_that_fails_says_why_and_can_be_tried_again(one_run, monkeypatch):
    asked = stand_in(monkeypatch, "import sys; sys.exit('No space left on device')")
    app = open_page(PAGE, run=one_run.name, map="UMAP")
    while "No space left on device" not in texts(app.error):
        app.run()
    assert not app.exception
    assert "Trustworthiness" in texts(app.markdown)  # of PCA
    app.run()
    assert len(asked) == 1
    next(button for button in app.button if button.label == "Draw it again").click().run()
    assert len(asked) == 2


def test_a_run_without_features_is_named(one_run):
    (one_run.path / "features.safetensors").unlink()
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "has no features.safetensors" in texts(app.error)


def test_missing_weights_are_named_after_the_map(one_run):
    (one_run.path / "weights.safetensors").unlink()
    app = open_page(PAGE, run=one_run.name)
    assert not app.exception
    assert "Trustworthiness" in texts(app.markdown)
    assert "has no weights.safetensors" in texts(app.error)


def test_where_the_most_images_go():
    pairs = [("photo", "cat"), ("photo", "cat"), ("sketch", "dog"), ("sketch", "dog")]
    pairs += [("sketch", "dog"), ("photo", "emu")]
    gallery = pd.DataFrame(pairs, columns=["expert", "true"])
    assert space_tables.most_routed(gallery, ["cat", "emu"]) == ("photo", "cat")
    assert space_tables.most_routed(gallery, ["cat", "dog"]) == ("sketch", "dog")
    assert space_tables.most_routed(gallery, ["yak"]) == ("sketch", "dog")
