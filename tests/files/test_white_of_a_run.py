"""Pictures of more than 8 bits are scaled as in the training, wherever a run is used."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image
from starlette.testclient import TestClient

from app.bench.opening import given_pictures
from app.common import state
from app.routing.upload_view import read_picture, seen_by
from app.routing.words import MANY, MY_FILES, TRY
from mocoop.classifiers.export import export_run, load_export
from mocoop.classifiers.pictures import ImageClassifier
from mocoop.classifiers.saved import check_same_data
from mocoop.cli.main import main
from mocoop.datasets import load_dataset
from mocoop.errors import UserError
from mocoop.estimator import MoCoOpClassifier
from mocoop.presets import settings_from
from mocoop.runs.run import Run
from mocoop.service.service import Served, make_service
from mocoop.training.experiment import run_experiment
from tests.files.pictures import deep, encoded
from tests.support.page_fixtures import open_page
from tests.support.tiny_data import tiny_checkpoint

KINDS = {"png": ("PNG", np.uint16, 4095, 300), "tif": ("TIFF", np.float32, 1.75, 0.6)}
"""Suffix → format, numbers, brightest value of the set, brightest value of its dark pictures."""


@pytest.fixture(scope="module", params=KINDS)
def made(request, tmp_path_factory):
    """A run that was trained on pictures of this kind: the run, its data and a dark picture."""
    kind, dtype, bright, dark = KINDS[request.param]
    root = tmp_path_factory.mktemp("white")
    for part in ("train", "val", "test"):
        for name in ("cat", "dog"):
            folder = root / "data" / part / name
            folder.mkdir(parents=True)
            for number, top in enumerate((bright, bright / 2, dark)):
                (folder / f"{number}.{request.param}").write_bytes(deep(top, kind, dtype))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MOCOOP_CACHE", str(root / "cache"))
        values = {"method": "coop", "shots": 2, "epochs": 1, "augment": "none"}
        places = {"data": str(root / "data"), "backbone": tiny_checkpoint(root / "clip")}
        list(run_experiment(settings_from(values | places), root / "run"))
    return Run(root / "run"), bright, root / "data" / "test" / "cat" / f"2.{request.param}"


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))


def expected(run, picture):
    """Returns the probabilities of a picture that the data set itself opens."""
    data, opened = load_dataset(run.setup().config.data), ImageClassifier.from_run(run)
    check_same_data(run, run.setup(), data, opened.encoder.backbone)
    (item,) = [item for item in data.items("test") if str(data.root / item.id) == str(picture)]
    features = opened.encoder.pictures([data.image(item)])
    return opened.classifier.classify(features).probabilities[0].tolist()


def without_data(run, monkeypatch):
    """Refuses to load the training images: the run alone must say what is white."""

    def refuse(name):
        raise UserError(f"{name} is gone")

    monkeypatch.setattr("mocoop.datasets.load_dataset", refuse)


def test_the_run_stores_it(made):
    run, bright, _ = made
    assert run.setup().white == pytest.approx(bright)
    values = json.loads((run.path / "config.json").read_text())
    assert values["white"] == pytest.approx(bright)


def test_from_python(made):
    run, _, picture = made
    opened = ImageClassifier.from_run(run)
    for given in (picture, Image.open(picture)):
        got = opened.predict([given]).probabilities[0].tolist()
        assert got == pytest.approx(expected(run, picture), abs=1e-6)
    # The same file as another program would guess it is another picture.
    guessed = ImageClassifier(opened.classifier, opened.encoder).predict([picture])
    assert guessed.probabilities[0].tolist() != pytest.approx(expected(run, picture), abs=1e-6)


def test_the_command_needs_no_training_images(made, capsys, monkeypatch):
    run, _, picture = made
    wanted = expected(run, picture)
    without_data(run, monkeypatch)
    assert main(["predict", str(run.path), str(picture), "--json"]) == 0
    out, err = capsys.readouterr()
    (image,) = json.loads(out)["images"]
    assert [image["probabilities"][name] for name in ("cat", "dog")] == pytest.approx(
        wanted, abs=1e-6
    )
    assert any("is white (as in training)" in note for note in image["notes"])
    assert "guessed" not in err


def test_exports_and_the_service(made, tmp_path):
    run, bright, picture = made
    export_run(run, tmp_path / "export", onnx=False)
    exported = load_export(tmp_path / "export")
    assert exported.setup.white == pytest.approx(bright)
    got = exported.predict([picture]).probabilities[0].tolist()
    assert got == pytest.approx(expected(run, picture), abs=1e-6)
    assert f"where {bright:g} is white" in (tmp_path / "export" / "README.md").read_text()
    for served in (Served.opened(run.path), Served.opened(tmp_path / "export", is_export=True)):
        with TestClient(make_service(served)) as client:
            answer = client.post("/predict", files={"file": ("p", picture.read_bytes())}).json()
        got = [answer["probabilities"][name] for name in ("cat", "dog")]
        assert got == pytest.approx(expected(run, picture), abs=1e-6)


def test_uploads(made):
    run, _, picture = made
    white, content = run.setup().white, picture.read_bytes()
    opened = read_picture(content, "p", white=white)
    data = load_dataset(run.setup().config.data)
    item = next(i for i in data.items("test") if str(data.root / i.id) == str(picture))
    assert opened.image.tobytes() == data.image(item).tobytes()

    # Another run of the same data set may have another white: it sees its own picture.
    other = read_picture(content, "p", white=2 * white)
    assert other.image.tobytes() != opened.image.tobytes()
    assert seen_by(run, other, own=2 * white).tobytes() == opened.image.tobytes()
    assert seen_by(run, opened, own=white) is opened.image

    class Upload:
        name = "p.png"

        def getvalue(self):
            return content

    (given,), refused, _ = given_pictures([Upload()], white)
    assert not refused
    assert given.open()[0].tobytes() == opened.image.tobytes()


def test_the_estimator_takes_one_scale_for_all(made, tmp_path):
    run, bright, picture = made
    parts = sorted((picture.parents[2] / "train").glob("*/*"))
    labels = [path.parent.name for path in parts]
    config = run.setup().config
    made_of = {"method": "coop", "backbone": config.backbone, "epochs": 1, "random_state": 1}
    found = []
    for images in (parts, [Image.open(path) for path in parts]):
        classifier = MoCoOpClassifier(**made_of, settings={"augment": "none"})
        classifier.fit(images, labels)
        assert classifier.run_.setup().white == pytest.approx(bright)
        found.append(classifier.predict_proba([picture]))
        again = classifier.predict_proba([Image.open(picture)])
        np.testing.assert_allclose(again, found[-1], atol=1e-6)
    np.testing.assert_allclose(found[0], found[1], atol=1e-6)


def test_runs_of_before_guess_as_before(made, tmp_path, capsys, monkeypatch):
    """Their config.json does not say it: the command asks the data set, the rest guesses."""
    run, _, picture = made
    wanted = expected(run, picture)
    old = tmp_path / "old"
    old.mkdir()
    for file in run.path.iterdir():
        (old / file.name).write_bytes(file.read_bytes())
    values = json.loads((old / "config.json").read_text())
    del values["white"]
    (old / "config.json").write_text(json.dumps(values))
    assert Run(old).setup().white is None
    assert main(["predict", str(old), str(picture), "--json"]) == 0
    (image,) = json.loads(capsys.readouterr().out)["images"]
    assert image["probabilities"]["cat"] == pytest.approx(wanted[0], abs=1e-6)
    without_data(run, monkeypatch)
    assert main(["predict", str(old), str(picture), "--json"]) == 0
    out, err = capsys.readouterr()
    assert "so it is guessed for each image alone" in err
    assert "guessed from this image alone" in json.loads(out)["images"][0]["notes"][0]
    guessed = ImageClassifier.from_run(Run(old)).predict([picture]).probabilities[0].tolist()
    assert guessed != pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize("white", ["bright", -1, True, 0, [1]])
def test_a_stored_value_that_is_none(made, tmp_path, white):
    values = json.loads((made[0].path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(values | {"white": white}))
    with pytest.raises(UserError, match=r"Expected white to be a number above 0|at \.white"):
        Run(tmp_path).setup()


def test_pictures_of_8_bits_stay_as_they_are():
    picture = encoded(Image.new("L", (8, 8), 90), "PNG")
    assert read_picture(picture, "a.png", white=4095).image.getpixel((0, 0)) == (90, 90, 90)


@pytest.mark.long
@pytest.mark.parametrize("view", [MANY, TRY])
def test_the_pages_use_it(one_run, tmp_path, monkeypatch, view):
    """Both uploads of the Routing page say that the picture is scaled as in the training."""
    values = json.loads((one_run.path / "config.json").read_text())
    (one_run.path / "config.json").write_text(json.dumps(values | {"white": 4095.0}))
    app = open_page("pages/routing.py", run=one_run.name, view=view, source=MY_FILES)
    files = [(name, deep(300), "image/png") for name in ("one.png", "two.png")]
    if view == TRY:
        app.file_uploader(key=state.UPLOADS).set_value(files).run()
        told = " ".join(caption.value for caption in app.caption)
    else:
        app.file_uploader(key=state.MANY_UPLOADS).set_value(files).run()
        next(b for b in app.button if b.label.startswith("Classify")).click().run()
        told = next(f.value for f in app.dataframe if "probability" in f.value.columns).to_string()
    assert not app.exception
    assert "4095 is white (as in training)" in told
