"""Data: built-in sets, one's own images, uploads, and everything that can be wrong with them."""

from __future__ import annotations

import io
import zipfile

import pandas as pd
import pytest

from app.common import state
from app.data import edit_view, words
from app.data import tables as data_tables
from app.data.view import PER_PAGE
from mocoop.catalog.change_stamp import data_stamp
from mocoop.catalog.uploads import keep_upload, uploaded_sets
from mocoop.cli.main import main
from mocoop.datasets import BUILTIN, load_dataset
from mocoop.datasets.edits import EDITS_FILE, Edits, read_edits, write_edits
from mocoop.datasets.skip_list import SKIP_FILE
from mocoop.errors import UserError
from mocoop.storage.archives import Limits
from tests.support.benchmark_files import add_coop
from tests.support.image_files import add_files, picture_bytes
from tests.support.page_fixtures import open_page

PAGE = "pages/data.py"


@pytest.fixture(autouse=True)
def root(empty_runs, tmp_path, monkeypatch):
    """An empty data root of the test's own."""
    monkeypatch.setenv("MOCOOP_DATA", str(tmp_path / "data"))
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    return tmp_path / "data"


@pytest.fixture
def pets(root):
    """A folder of two classes."""
    names = [f"{c}/{n}.png" for c in ("cat", "GuineaPig") for n in range(10)]
    add_files(root / "uploads/pets", *names)
    return root / "uploads/pets"


def said(app):
    """Returns all texts of a page."""
    kinds = (app.markdown, app.caption, app.info, app.warning, app.error, app.success)
    return "\n".join(element.value for kind in kinds for element in kind)


def press(app, label):
    """Presses the button of a label."""
    button = next(b for b in app.button if b.label == label)
    return button.click().run()


def zipped(files):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    buffer.seek(0)
    return buffer


def test_a_built_in_set(root):
    app = open_page(PAGE)
    assert not app.exception
    assert [m.value for m in app.metric] == ["32", "768", "288", "576", "3"]
    assert "Base classes: the first 16, bee to basketball." in said(app)
    assert "768 images" in said(app)
    app = open_page(PAGE, data="digits", split="Test", style_of="dark", look_at="Pictures")
    assert not app.exception
    assert "61 images" in said(app)


@pytest.mark.parametrize("view", ["Pictures", "Classes", "Templates", "Check"])
def test_every_part_of_ones_own_images(pets, view):
    app = open_page(PAGE, data=str(pets), look_at=view)
    assert not app.exception
    assert not app.error
    assert [m.value for m in app.metric] == ["2", "10", "4", "6"]
    assert "A split made by MoCoOp" in said(app)


def test_missing_sets_are_named_with_the_step(root):
    app = open_page(PAGE)
    row = app.table[-1].value.set_index("data set").loc["dtd"]  # its sentences wrap
    assert (row["state"], row["next step"]) == ("missing", "mocoop data download dtd")
    add_coop(root, "dtd")
    app.run()
    row = app.table[-1].value.set_index("data set").loc["dtd"]
    assert row["state"] == "ready"
    assert "dtd" in app.selectbox(key=state.DATA).options


@pytest.mark.parametrize(
    ("data", "words"),
    [
        ("nowhere", "no such folder"),
        ("dtd", "The benchmark set dtd is expected below"),
        ("~nosuchuser/x", "cannot be a file or folder here"),
        ("/" + "a" * 5000, "cannot be a file or folder here: File name too long"),
    ],
)
def test_sets_that_do_not_open_are_told_in_words(tmp_path, data, words):
    app = open_page(PAGE, data=str(tmp_path / data) if data == "nowhere" else data)
    assert not app.exception
    assert words in app.error[0].value


@pytest.mark.parametrize(
    ("tab", "button"), [("Templates", "Propose groups"), ("New templates", "Write templates")]
)
def test_a_clip_that_is_no_path_is_told_in_words(tab, button):
    app = open_page(PAGE, data="details", look_at=tab)
    next(one for one in app.text_input if one.label.startswith("CLIP")).set_value("~nosuchuser/x")
    press(app, button)
    assert not app.exception
    assert "cannot be a file or folder here" in app.error[0].value


def test_a_check_names_what_is_wrong_and_leaves_it_out(pets):
    data = load_dataset(str(pets))
    broken = data.items("test")[0].id
    (pets / broken).write_text("no picture")
    app = open_page(PAGE, data=str(pets), look_at="Check")
    press(app, "Open every image")
    assert not app.exception
    problems = next(d.value for d in app.dataframe if "problem" in d.value)
    assert problems["image"].tolist() == [broken]
    press(app, "Leave this image out")
    assert broken in (pets / SKIP_FILE).read_text()
    assert "1 image is skipped" in said(app)
    assert "All images exist" in app.success[0].value
    assert not [d for d in app.dataframe if "problem" in d.value]
    assert "Leave this image out" not in [b.label for b in app.button]
    press(app, "Open every image")
    assert "All images exist" in app.success[0].value


def test_leaving_images_out_leaves_other_problems_in_the_report(pets):
    data = load_dataset(str(pets))
    trained, (broken, same) = data.items("train")[0].id, [one.id for one in data.items("test")][:2]
    (pets / broken).write_text("no picture")
    (pets / same).write_bytes((pets / trained).read_bytes())
    app = open_page(PAGE, data=str(pets), look_at="Check")
    press(app, "Open every image")
    press(app, "Leave this image out")
    (problems,) = [d.value for d in app.dataframe if "problem" in d.value]
    assert problems["image"].tolist() == [same]


def test_typed_names_do_not_outlive_another_visitors_change(pets):
    app = open_page(PAGE, data=str(pets), look_at="Classes")
    (before,) = [one.proto.id for one in app.dataframe if "folder" in one.value]
    app.run()
    assert before in [one.proto.id for one in app.dataframe]
    write_edits(pets, Edits(classes={"GuineaPig": "cavy"}))
    app.run()
    assert "cavy" in [name for one in app.dataframe for name in one.value.get("class", ())]
    assert before not in [one.proto.id for one in app.dataframe]


def test_a_class_may_be_called_all(root):
    names = [f"{c}/{n}.png" for c in ("all", "cat", "dog") for n in range(10)]
    add_files(root / "uploads/three", *names)
    folder = str(root / "uploads/three")
    app = open_page(PAGE, data=folder, look_at="Pictures")
    assert app.selectbox(key=state.DATA_CLASS).options == ["all", "cat", "dog"]
    assert "15 images" in said(app)
    app = open_page(PAGE, data=folder, look_at="Pictures", class_of="all")
    assert app.selectbox(key=state.DATA_CLASS).value == "all"
    assert "5 images" in said(app).splitlines()


def test_changes_to_an_archive_are_kept_beside_it(root, tmp_path):
    path = tmp_path / "pets.zip"
    files = {f"{c}/{n}.png": picture_bytes(f"{c}{n}") for c in ("cat", "dog") for n in range(10)}
    path.write_bytes(zipped(files | {"cat/broken.png": b"no picture"}).getvalue())
    app = open_page(PAGE, data=str(path), look_at="Classes")
    assert not app.exception
    assert "in the folder `pets.zip.mocoop` beside the archive" in said(app)
    assert main(["data", "check", str(path), "--skip"]) == 0
    assert "cat/broken.png" in (tmp_path / "pets.zip.mocoop" / SKIP_FILE).read_text()
    app = open_page(PAGE, data=str(path), look_at="Classes")
    assert "1 image is skipped" in said(app)


def test_groups_are_proposed_and_kept(root):
    folder = root / "uploads/scenes"
    albums = load_dataset("albums")
    for item in albums.items("train", range(4)):
        path = folder / albums.class_names[item.label] / f"{item.id.replace('/', '-')}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        albums.image(item).save(path)
    app = open_page(PAGE, data=str(folder), look_at="Templates")
    press(app, "Propose groups")
    assert not app.exception
    assert "images" in app.dataframe[1].value
    kept = f"{state.TEMPLATES_EDITED} {folder}"
    app.session_state[kept] = [{"Group": "before", "Templates": "a {}."}]
    press(app, "Save them with the data set")
    assert kept not in app.session_state  # Train takes what was saved now
    assert len(read_edits(folder).groups) >= 2
    assert load_dataset(str(folder)).templates.groups == read_edits(folder).groups


@pytest.mark.long
def test_proposed_groups_are_used_for_a_training(root):
    app = open_page(PAGE, data="details", look_at="Templates")
    press(app, "Propose groups")
    press(app, "Use them for the next training")
    count = len(app.session_state[f"{state.TEMPLATES_EDITED} details"])
    assert count >= 2
    app.switch_page("pages/train.py").run()
    app.selectbox(key=state.DATA).set_value("details").run()
    assert f"32 classes, {count} experts" in said(app)


def test_a_picture_that_cannot_be_read_is_shown_in_words(pets):
    for path in (pets / "cat").iterdir():
        path.write_text("no picture")
    app = open_page(PAGE, data=str(pets))
    assert not app.exception
    assert "this file is not a readable image" in said(app)


def test_a_read_only_server_offers_no_change(pets, monkeypatch):
    monkeypatch.setenv("MOCOOP_READ_ONLY", "1")
    app = open_page(PAGE, look_at="Classes")
    assert not app.exception
    labels = [button.label for button in app.button]
    assert "Save the names" not in labels
    assert not app.get("file_uploader")


def test_renamed_classes(pets):
    data = load_dataset(str(pets))
    table = data_tables.class_table(data)
    assert table["folder"].tolist() == ["GuineaPig", "cat"]
    assert table["class"].tolist() == ["guinea pig", "cat"]
    table.loc[0, "class"] = " cavy "
    assert data_tables.renamed_classes(table, data, {"cat": "tom"}) == {
        "GuineaPig": "cavy",
        "cat": "tom",
    }
    table.loc[1, "class"] = ""
    assert data_tables.renamed_classes(table, data, {"cat": "tom"}) == {"GuineaPig": "cavy"}


@pytest.mark.parametrize("name", BUILTIN)
def test_a_built_in_set_has_a_card_and_its_pictures_say_what_counts(root, name):
    app = open_page(PAGE, data=name)
    assert not app.exception
    told, data = said(app), load_dataset(name)
    for text in (data.card.label, data.card.could, data.card.could_not, "What a label means"):
        assert text in told
    assert ".." not in told
    item = data_tables.pictures(data, data_tables.PictureFilter("train"))[0]
    assert f"{data.class_names[item.label]}  \n*{item.style}, {item.role}*" in told


def test_a_page_of_pictures_shows_many_classes_and_styles():
    data = load_dataset("details")
    shown = data_tables.pictures(data, data_tables.PictureFilter("train"))
    assert len(shown) == len(set(shown)) == 1152
    first = shown[:PER_PAGE]
    assert len({item.label for item in first}) == 32
    assert len({item.style for item in first}) == 9
    one = data_tables.pictures(data, data_tables.PictureFilter("test", "guitar", "dark"))
    assert {(data.class_names[i.label], i.style) for i in one} == {("guitar", "dark")}


def test_an_upload_becomes_a_data_set(root):
    files = {
        f"pets/{c}/{n}.png": picture_bytes(f"{c}{n}") for c in ("cat", "dog") for n in range(4)
    }
    made = keep_upload(zipped(files), "C:\\me\\My pets!.zip")
    assert made.class_names == ("cat", "dog")
    assert uploaded_sets() == [root / "uploads" / "My-pets"]
    assert keep_upload(zipped(files), "My pets!.zip").source.endswith("My-pets-2")
    app = open_page(PAGE, data=made.source)
    assert not app.exception
    assert not app.error
    choice = app.selectbox(key=state.DATA)
    assert choice.options[-2:] == ["My-pets (uploaded)", "My-pets-2 (uploaded)"]
    assert choice.value == made.source
    choice.set_value("details").run()
    app.selectbox(key=state.DATA).set_value(f"{made.source}-2").run()
    assert not app.exception
    assert app.selectbox(key=state.DATA).value == f"{made.source}-2"
    assert "Base classes: cat. New classes: dog." in said(app)


def test_the_panel_of_the_upload_closes_once_the_zip_is_taken(root):
    files = {f"{c}/{n}.png": picture_bytes(f"{c}{n}") for c in ("cat", "dog") for n in range(4)}
    app = open_page(PAGE)
    app.session_state[state.DATA_PANEL] = True
    app.run()
    given = ("pets.zip", zipped(files).getvalue(), "application/zip")
    app.file_uploader(key=state.DATA_UPLOAD).set_value(given).run()
    next(button for button in app.button if button.label == "Use it").click().run()
    assert not app.exception
    assert app.selectbox(key=state.DATA).value.endswith("pets")
    assert not app.session_state[state.DATA_PANEL]


def test_a_small_table_of_classes_has_no_empty_rows(pets):
    app = open_page(PAGE, data=str(pets), look_at="Classes")
    assert not app.exception
    assert edit_view._height(app.dataframe[0].value) == "content"
    assert edit_view._height(pd.DataFrame({"class": range(58)})) == 420
    app.switch_page("pages/train.py").run()
    assert app.selectbox(key=state.DATA).value == str(pets)


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b"x", "b.png": b"y"}, r"pets.zip has no class folder"),
        ({"cat/a.png": b"x"}, r"at least two classes"),
        ({"cat/a.txt": b"x", "dog/a.png": b"y"}, r"Class folder cat has no image"),
        ({f"cat/{n}.png": b"x" for n in range(12)}, r"pets.zip has 12 entries; at most 10"),
        ({"cat/../../a.png": b"x"}, r"pets.zip is not safe"),
    ],
)
def test_uploads_that_are_refused_leave_nothing(root, files, message):
    with pytest.raises(UserError, match=message):
        keep_upload(zipped(files), "pets.zip", limits=Limits(10, 1000))
    assert uploaded_sets() == []
    assert not list(root.rglob("*.png"))


def test_stamps_follow_what_changes(root, pets):
    """Images, names and lists change it; looking does not."""
    before = data_stamp(str(pets))
    load_dataset(str(pets))
    assert data_stamp(str(pets)) == before
    add_files(pets, "cat/new.png")
    second = data_stamp(str(pets))
    assert second != before
    (pets / EDITS_FILE).write_text("zero_shot: a pet {}.\n")
    assert data_stamp(str(pets)) != second
    assert data_stamp("details") == data_stamp("faces")
    absent = data_stamp("dtd")
    add_coop(root, "dtd")
    assert data_stamp("dtd") != absent


def test_a_set_without_test_images_says_that_it_cannot_be_tested(root):
    add_files(root / "uploads/few", "cat/1.png", "dog/1.png")
    app = open_page(PAGE, data=str(root / "uploads/few"))
    assert not app.exception
    assert words.NO_TEST_IMAGES in said(app)
    add_files(root / "uploads/few", *(f"{c}/{n}.png" for c in ("cat", "dog") for n in (2, 3, 4)))
    data = load_dataset(str(root / "uploads/few"))
    assert [len(data.items(split)) for split in ("train", "val", "test")] == [4, 2, 2]
    assert words.NO_TEST_IMAGES not in said(open_page(PAGE, data=str(root / "uploads/few")))
