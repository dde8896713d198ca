"""Routing, many pictures: uploads and zips, labels, warnings, files that cannot be read."""

from __future__ import annotations

import io
import zipfile

import pytest
from PIL import Image

from app.bench import words
from app.bench.opening import given_pictures
from app.bench.tables import labels_of
from app.common import state
from app.routing.words import MANY, TRY
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from tests.support.compare_example import copy_run
from tests.support.page_fixtures import open_page

PAGE = "pages/routing.py"


def texts(elements):
    return " ".join(str(element.value) for element in elements).replace("\\", "")


def png(image) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()


@pytest.fixture(scope="module")
def pictures():
    """Test images of the trained classes of `details`: class → some PNG files."""
    data = load_dataset("details")
    return {
        data.class_names[label]: [
            png(data.image(item)) for item in data.items("test", [label])[:3]
        ]
        for label in range(4)
    }


def zipped(files: dict[str, bytes]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def opened(run, files, labels=None):
    app = open_page(PAGE, run=run.name, view=MANY)
    assert not app.exception
    app.file_uploader(key=state.MANY_UPLOADS).set_value(files)
    if labels is not None:
        app.file_uploader(key=state.MANY_LABELS).set_value(("labels.csv", labels, "text/csv"))
    return app.run()


def classified(run, files, labels=None):
    app = opened(run, files, labels)
    next(b for b in app.button if b.label.startswith("Classify")).click().run()
    assert not app.exception
    return app


def table_of(app):
    return next(frame.value for frame in app.dataframe if "probability" in frame.value.columns)


def test_empty_says_what_to_upload(one_run):
    app = open_page(PAGE, run=one_run.name, view=MANY)
    assert not app.exception
    assert words.INTRO in texts(app.caption)
    assert not app.error


def test_a_zip_of_folders_has_accuracy_and_confusion(one_run, pictures):
    files = {f"mine/{c}/{i}.png": p for c, ps in pictures.items() for i, p in enumerate(ps)}
    files |= {"mine/dragon/1.png": next(iter(pictures.values()))[0], "mine/cat/no.png": b"no"}
    files |= {"mine/.secret.png": b"no", "__MACOSX/mine/._1.png": b"no"}
    app = classified(one_run, [("many.zip", zipped(files), "application/zip")])
    table = table_of(app)
    assert len(table) == 13
    known = table[table["true label"].notna()]
    accuracy = 100 * (known["label"] == known["true label"]).mean()
    metrics = {metric.label: metric.value for metric in app.metric}
    assert metrics["Accuracy"] == f"{accuracy:.1f} %" or f"{accuracy:.1f} %" in str(metrics)
    said = texts(app.caption)
    assert "of 12 right" in said
    assert "2 files that are hidden, or added by the operating system: mine/.secret.png" in said
    assert "1 picture with a label that no class has: dragon (1)" in said
    unread = next(f.value for f in app.dataframe if list(f.value.columns) == ["file", "reason"])
    assert unread["file"].tolist() == ["mine/cat/no.png"]
    assert "not a readable image" in unread["reason"][0]


def test_many_say_the_same_as_one(one_run, pictures):
    large = Image.open(io.BytesIO(next(iter(pictures.values()))[0])).resize((900, 700))
    app = classified(one_run, [("large.png", png(large), "image/png")])
    row = table_of(app).iloc[0]
    assert "scaled down first" in row["notes"]
    single = open_page(PAGE, run=one_run.name, view=TRY, source="My files")
    single.get("file_uploader")[0].set_value([("large.png", png(large), "image/png")]).run()
    html = " ".join(element.proto.body for element in single.get("html"))
    assert row["label"] in html
    assert f"{row['probability']:.0f}%" in html


def test_a_table_of_labels_counts(one_run, pictures):
    name, files = next(iter(pictures.items()))
    app = classified(
        one_run,
        [("a.png", files[0], "image/png"), ("b.png", files[1], "image/png")],
        f"file,label\na.png,{name}\n".encode(),
    )
    assert "of 1 right" in texts(app.caption)
    assert "1 picture without a label" in texts(app.caption)


@pytest.mark.parametrize(
    ("labels", "said"),
    [(b"a,b\n1,2", "columns file and label"), (b"file,label\nz,bee", "names none")],
)
def test_tables_of_labels_that_do_not_fit(one_run, pictures, labels, said):
    files = [("a.png", next(iter(pictures.values()))[0], "image/png")]
    assert said in texts(classified(one_run, files, labels).error)


def test_a_strange_picture_is_unlike_the_training_images(one_run):
    ramp = Image.linear_gradient("L").resize((64, 64))
    strange = Image.merge("RGB", (ramp, ramp.rotate(90), ramp.rotate(180)))
    app = classified(one_run, [("strange.png", png(strange), "image/png")])
    row = table_of(app).iloc[0]
    assert row["unlike"]
    assert row["quantile"] > 0.95
    assert "1 of 1 picture is unlike" in texts(app.warning)


def test_a_method_without_training_says_that_nothing_is_judged(one_run, empty_runs, pictures):
    zero = copy_run(one_run, empty_runs / "zero", method="zero-shot", epochs=0)
    files = [("a.png", next(iter(pictures.values()))[0], "image/png")]
    app = classified(zero, files)
    assert "Zero-shot has no training images" in texts(app.caption)
    assert "unlike" not in table_of(app).columns


def test_bad_zips_are_named_and_the_rest_goes_on(one_run, pictures):
    good = ("a.png", next(iter(pictures.values()))[0], "image/png")
    bad = zipped({"../../etc/x.png": b"x"})
    app = classified(
        one_run,
        [good, ("bad.zip", bad, "application/zip"), ("no.zip", b"no zip", "application/zip")],
    )
    assert len(table_of(app)) == 1
    unread = next(f.value for f in app.dataframe if list(f.value.columns) == ["file", "reason"])
    assert unread["file"].tolist() == ["bad.zip", "no.zip"]
    assert "leads out of its folder" in unread["reason"][0]


def test_other_pictures_need_the_button_again(one_run, pictures):
    files = [(f"{c}.png", ps[0], "image/png") for c, ps in pictures.items()]
    app = classified(one_run, files[:2])
    app.file_uploader(key=state.MANY_UPLOADS).set_value(files).run()
    assert words.CHANGED in texts(app.caption)
    assert [b.label for b in app.button if b.label.startswith("Classify")] == [
        "Classify 4 pictures"
    ]


@pytest.mark.long
def test_five_hundred_at_once(one_run, pictures):
    every = [picture for several in pictures.values() for picture in several]
    files = [(f"{n}.png", every[n % len(every)], "image/png") for n in range(499)]
    app = classified(one_run, [*files, ("broken.png", b"\x89PNG", "image/png")])
    assert len(table_of(app)) == 499
    assert "499 pictures classified" in texts(app.caption)


class Upload:
    def __init__(self, name: str, content: bytes) -> None:
        self.name, self.content = name, content

    def getvalue(self) -> bytes:
        return self.content


def test_a_damaged_entry_is_told_when_its_turn_comes(pictures):
    content = bytearray(zipped({"a/1.png": next(iter(pictures.values()))[0]}))
    content[60] ^= 0xFF
    (given,), refused, _ = given_pictures([Upload("z.zip", bytes(content))])
    assert not refused
    with pytest.raises(UserError, match="damaged in the zip"):
        given.open()


def test_labels_of_the_table_count_before_folders():
    assert labels_of(["cat/1.png"], b"file,label\n1.png,bee", "t") == {"cat/1.png": "bee"}
