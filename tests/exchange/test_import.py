"""Checkpoints as CoOp's, CoCoOp's and MoCoOp's code writes them become runs with equal features.

Each is compared with its authors' forward pass, written out here over a plain text tower.
"""

from __future__ import annotations

import json
import warnings

import pytest
import torch
import torch.nn.functional as F
import yaml

from mocoop.classifiers.saved import open_classifier, restore_model
from mocoop.cli.main import main
from mocoop.clip.backbone import load_backbone
from mocoop.config import TrainConfig
from mocoop.errors import UserError, UserNote
from mocoop.exchange.coop_files import read_coop_file
from mocoop.exchange.import_prompts import import_prompts
from mocoop.prompt_encoder.layout import ClassTokens, filled_tokens
from mocoop.runs.model_card import model_card
from mocoop.runs.run import Run
from tests.support.plain_clips import openai_features
from tests.support.tiny_data import picture_folder, tiny_checkpoint

CLASSES = ["blue bird", "green leaf", "red cup"]  # in label order
WIDTH, DIM = 32, 16


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """A folder of pictures and the tiny CLIP."""
    folder = tmp_path_factory.mktemp("import")
    return picture_folder(folder / "pictures"), tiny_checkpoint(folder / "clip")


@pytest.fixture(scope="module")
def clip(place):
    return load_backbone(place[1])


@pytest.fixture(autouse=True)
def own_cache(tmp_path, monkeypatch):
    monkeypatch.setenv("MOCOOP_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("MOCOOP_RUNS", str(tmp_path / "runs"))


def settings(place, **changes):
    return TrainConfig(data=place[0], backbone=place[1], shots=1, device="cpu", **changes)


def drawn(*shape, seed=5):
    return 0.3 * torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def embedded(clip, texts):
    """Returns token ids and embeddings of texts, as `clip.tokenize` and the table give them."""
    ids = clip.tokenizer(texts)
    return ids, clip.model.token_embedding.weight.detach()[ids]


def coop_state(clip, context, names=CLASSES):
    """Returns the state dict of CoOp's PromptLearner with a context."""
    tokens = context.shape[-2]
    prompts = [" ".join(["X"] * tokens) + f" {name}." for name in names]
    _, rows = embedded(clip, prompts)
    return {"ctx": context, "token_prefix": rows[:, :1], "token_suffix": rows[:, 1 + tokens :]}


def dassl_file(path, state, epoch=50):
    """Writes a checkpoint as Dassl does: with optimizer and schedule, which is an object."""
    weight = torch.nn.Parameter(torch.zeros(2))
    optimizer = torch.optim.SGD([weight], lr=0.002, momentum=0.9)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 50.0)
    content = {
        "state_dict": state,
        "epoch": epoch,
        "optimizer": optimizer.state_dict(),
        "scheduler": {"successor": schedule, "warmup_epoch": 1, "last_epoch": 50},
        "val_result": None,
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    torch.save(content, path)
    return path


def text_features(clip, rows, ends):
    """Returns normalised features of prompts given as embeddings (texts, 77, width)."""
    sd = dict(clip.model.state_dict())
    table = sd["token_embedding.weight"]
    sd["token_embedding.weight"] = torch.cat([table, rows.flatten(0, 1)])
    tokens = len(table) + torch.arange(rows.shape[0] * rows.shape[1]).view(rows.shape[:2])
    image = torch.zeros(1, 3, 32, 32)
    return F.normalize(openai_features(sd, image, tokens, F.gelu, 16, ends)[1], dim=-1)


def coop_features(clip, state, position, names=CLASSES):
    """Returns CoOp's text features (classes, dim): its prompts, then CLIP's text tower."""
    context = state["ctx"].float()
    tokens = context.shape[-2]
    context = context.expand(len(names), tokens, WIDTH)
    ids, _ = embedded(clip, [" ".join(["X"] * tokens) + f" {name}." for name in names])
    half = {"end": tokens, "middle": tokens // 2, "front": 0}[position]
    rows = []
    for label, name in enumerate(names):
        length = len(clip.tokenizer.encode(name))
        suffix = state["token_suffix"][label].float()
        parts = [
            state["token_prefix"][label].float(),
            context[label, :half],
            suffix[:length],
            context[label, half:],
            suffix[length:],
        ]
        rows.append(torch.cat(parts))
    return text_features(clip, torch.stack(rows), ids.argmax(dim=-1))


@pytest.mark.parametrize("position", ["end", "middle", "front"])
@pytest.mark.parametrize("own", [False, True])
def test_coop(place, clip, tmp_path, position, own):
    """Generic and class-specific contexts, the name at each of its places."""
    context = drawn(len(CLASSES), 4, WIDTH) if own else drawn(4, WIDTH)
    state = coop_state(clip, context)
    file = dassl_file(tmp_path / "prompt_learner" / "model.pth.tar-50", state)
    run = import_prompts(file, settings(place), tmp_path / "run", position, backbone=clip)
    expected = coop_features(clip, state, position)
    torch.testing.assert_close(run.features().last[0], expected, atol=1e-5, rtol=0)
    setup = run.setup()
    assert (setup.config.method, setup.config.classes) == ("coop", "all")
    assert (setup.config.class_context, setup.config.epochs) == (own, 0)
    assert setup.imported == "model.pth.tar-50, 50 epochs"
    assert 0 <= run.results()["all"]["accuracy"] <= 100
    assert "| Imported from | model.pth.tar-50, 50 epochs |" in model_card(run, "a-run")


def test_half_precision(place, clip, tmp_path):
    """Contexts and token embeddings of CoOp's fp16 training."""
    state = {name: v.half() for name, v in coop_state(clip, drawn(4, WIDTH)).items()}
    run = import_prompts(dassl_file(tmp_path / "m", state), settings(place), backbone=clip)
    exact = coop_state(clip, drawn(4, WIDTH).half().float())
    expected = coop_features(clip, exact, "end")
    torch.testing.assert_close(run.features().last[0], expected, atol=1e-5, rtol=0)


def test_base_half(place, clip, tmp_path):
    """A checkpoint of the first half of the classes is a base-to-new run."""
    state = coop_state(clip, drawn(4, WIDTH), CLASSES[:2])
    run = import_prompts(dassl_file(tmp_path / "m", state), settings(place), backbone=clip)
    assert run.setup().config.classes == "base"
    assert "base" in run.results()  # the new half is one class, among which all are right
    assert {"new", "harmonic_mean"}.isdisjoint(run.results())


def cocoop_state(clip):
    return coop_state(clip, drawn(4, WIDTH)) | {
        "meta_net.linear1.weight": drawn(1, DIM, seed=1),
        "meta_net.linear1.bias": drawn(1, seed=2),
        "meta_net.linear2.weight": drawn(WIDTH, 1, seed=3),
        "meta_net.linear2.bias": drawn(WIDTH, seed=4),
    }


def test_cocoop(place, clip, tmp_path):
    """Every picture shifts the context by the meta-net's vector."""
    state = cocoop_state(clip)
    run = import_prompts(dassl_file(tmp_path / "m", state), settings(place), backbone=clip)
    pictures = F.normalize(drawn(2, DIM, seed=9), dim=-1)
    found = open_classifier(run, loaded=clip).classify(pictures).probabilities
    for picture, probabilities in zip(pictures, found, strict=True):
        hidden = (
            state["meta_net.linear1.weight"] @ picture + state["meta_net.linear1.bias"]
        ).relu()
        shift = state["meta_net.linear2.weight"] @ hidden + state["meta_net.linear2.bias"]
        features = coop_features(clip, state | {"ctx": state["ctx"] + shift}, "end")
        expected = (clip.logit_scale * features @ picture).softmax(dim=-1)
        torch.testing.assert_close(probabilities, expected, atol=1e-5, rtol=0)
    assert run.setup().config.method == "cocoop"


GROUPS = {
    "photo": ("a photo of a {}.", "a picture of a {}."),
    "type": ("a small {}, a type of thing.",),
    "front": ("{}, a drawing.",),
}


def mocoop_state(clip, groups=GROUPS, tuned=False):
    """Returns the state dict of the authors' whole model, with its names and word counts."""
    state = {"logit_scale": clip.model.logit_scale.detach()}
    for number, (first, *_) in enumerate(groups.values()):
        before, after = first.replace(".", "").split("{}")
        before = before[:-1]
        words = [len(part.split(" ")) if part else 0 for part in (before, after)]
        _, rows = embedded(clip, [f"{before} {name}{after}" for name in CLASSES])
        learner = "prompt_learner."
        state |= {
            f"{learner}ctx_before_{number}": drawn(words[0], WIDTH, seed=number),
            f"{learner}ctx_after_{number}": drawn(words[1], WIDTH, seed=10 + number),
            f"{learner}token_prefix_{number}": rows[:, :1],
            f"{learner}token_suffix_{number}": rows[:, 1 + words[0] :],
        }
    state["prompt_learner.gate.weight"] = drawn(len(groups), DIM, seed=20)
    state["prompt_learner.gate.bias"] = drawn(len(groups), seed=21)
    state["prompt_learner.w"] = 0.1 * drawn(1, DIM, seed=22)
    state["prompt_learner.class_text_features"] = drawn(4, 3, DIM)
    for name, value in clip.model.visual.state_dict().items():
        moved = 0.05 if tuned and ".ln_1." in name else 0.0
        state[f"image_encoder.{name}"] = value + moved
    for name in ("ln_final.weight", "text_projection"):
        state[f"text_encoder.module.{name}"] = clip.model.state_dict()[name]
    return state


def mocoop_features(clip, state, groups=GROUPS):
    """Returns the authors' features of all experts (experts, classes, dim)."""
    found = []
    for number, (first, *_) in enumerate(groups.values()):
        before, after = first.replace(".", "").split("{}")
        ids, _ = embedded(clip, [f"{before[:-1]} {name}{after}" for name in CLASSES])
        get = lambda name, i=number: state[f"prompt_learner.{name}_{i}"]
        rows = []
        for label, name in enumerate(CLASSES):
            length, after_tokens = len(clip.tokenizer.encode(name)), len(get("ctx_after"))
            suffix = get("token_suffix")[label]
            parts = [get("token_prefix")[label], get("ctx_before"), suffix[:length]]
            parts += [get("ctx_after"), suffix[length + after_tokens :]]
            rows.append(torch.cat(parts))
        # `text_features` normalises, and the authors add w before that: undo it by the length.
        sd, table = dict(clip.model.state_dict()), clip.model.token_embedding.weight.detach()
        stacked = torch.stack(rows)
        sd["token_embedding.weight"] = torch.cat([table, stacked.flatten(0, 1)])
        tokens = len(table) + torch.arange(stacked.shape[0] * 77).view(-1, 77)
        raw = openai_features(
            sd, torch.zeros(1, 3, 32, 32), tokens, F.gelu, 16, ids.argmax(dim=-1)
        )[1]
        found.append(F.normalize(raw + state["prompt_learner.w"], dim=-1))
    return torch.stack(found)


@pytest.mark.parametrize("tuned", [False, True])
def test_mocoop(place, clip, tmp_path, tuned):
    """Experts, router, correction, and the image tower's LayerNorms if they were trained."""
    state = mocoop_state(clip, tuned=tuned)
    config = settings(place, groups=GROUPS)
    run = import_prompts(dassl_file(tmp_path / "m", state), config, backbone=clip)
    expected = mocoop_features(clip, state)
    torch.testing.assert_close(run.features().last, expected, atol=1e-5, rtol=0)
    pictures = F.normalize(drawn(4, DIM, seed=30), dim=-1)
    routed = open_classifier(run, loaded=clip).classify(pictures)
    scores = pictures @ state["prompt_learner.gate.weight"].T + state["prompt_learner.gate.bias"]
    best, chosen = scores.topk(2)
    for row, picture in enumerate(pictures):
        text = (best[row].softmax(dim=0)[:, None, None] * expected[chosen[row]]).sum(dim=0)
        probabilities = (clip.logit_scale * text @ picture).softmax(dim=-1)
        torch.testing.assert_close(routed.probabilities[row], probabilities, atol=1e-5, rtol=0)
    setup = run.setup()
    assert setup.config.tune_layer_norms is tuned
    assert setup.experts == tuple(GROUPS)
    if tuned:
        name = "norms.values.transformer/resblocks/0/ln_1/weight"
        own = clip.model.visual.transformer.resblocks[0].ln_1.weight
        torch.testing.assert_close(run.weights()[name], own + 0.05)


def test_words_of_several_tokens(place, clip, tmp_path):
    """What the authors' code left frozen, because it counts words, is frozen here too."""
    groups = GROUPS | {"itap": ("itap of a {}.",), "dash": ("a {}, hand-drawn by me.",)}
    state = mocoop_state(clip, groups)
    assert [len(state[f"prompt_learner.ctx_{side}_3"]) for side in ("before", "after")] == [3, 0]
    assert [len(state[f"prompt_learner.ctx_{side}_4"]) for side in ("before", "after")] == [1, 4]
    file = dassl_file(tmp_path / "m", state)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserNote)  # the classes are seen to be the same
        run = import_prompts(file, settings(place, groups=groups), backbone=clip)
    expected = mocoop_features(clip, state, groups)
    torch.testing.assert_close(run.features().last, expected, atol=1e-5, rtol=0)


def test_a_learned_end(place, clip, tmp_path):
    """Words after a space: [EOS] was learned, the text is read there, also for other names."""
    groups = GROUPS | {"texture": ("{} texture.",), "game": ("a {} in a video game.",)}
    state = mocoop_state(clip, groups)
    assert [len(state[f"prompt_learner.ctx_after_{n}"]) for n in (3, 4)] == [2, 5]
    file = dassl_file(tmp_path / "m", state)
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserNote)
        run = import_prompts(file, settings(place, groups=groups), backbone=clip)
    expected = mocoop_features(clip, state, groups)
    torch.testing.assert_close(run.features().last, expected, atol=1e-5, rtol=0)
    assert run.setup().groups["texture"] == ("{} texture<end_of_text>", "{} texture.")
    model = restore_model(run.setup(), run.weights(), clip)
    classes = ClassTokens.from_names(clip.text.tokens, CLASSES)
    again = model.text_features(clip.text, classes)
    torch.testing.assert_close(again, expected, atol=1e-5, rtol=0)
    # The hard prompt with the mark is the one without it.
    table = clip.text.tokens
    marked = filled_tokens(table, "{} texture<end_of_text>", CLASSES)
    assert torch.equal(marked, filled_tokens(table, "{} texture", CLASSES))


def test_the_command(place, clip, tmp_path, capsys):
    """Whole way on the command line, with groups in a file."""
    file = dassl_file(tmp_path / "m", mocoop_state(clip))
    groups = tmp_path / "groups.yaml"
    groups.write_text(yaml.safe_dump({k: list(v) for k, v in GROUPS.items()}, sort_keys=False))
    names = ["--data", place[0], "--backbone", place[1], "--shots", "1"]
    assert main(["import", str(file), *names, "--templates", str(groups), "--json"]) == 0
    run = Run(tmp_path / "runs" / json.loads(capsys.readouterr().out)["run"].rpartition("/")[2])
    assert run.name == "pictures-mocoop-1shot-seed1-001"
    assert main(["evaluate", str(run.path), "--json"]) == 0
    assert main(["train", "--config", str(run.path / "config.json")]) == 2
    assert "Import the file again" in capsys.readouterr().err
    elsewhere = tmp_path / "else where" / "x"
    line = ["import", str(file), *names, "--templates", str(groups), "--run", str(elsewhere)]
    assert main(line) == 0
    assert f"mocoop evaluate '{elsewhere}'" in capsys.readouterr().out


def test_what_does_not_fit(place, clip, tmp_path):
    """Another width, another CLIP, other classes, other experts, other layouts."""
    config = settings(place)
    whole = coop_state(clip, drawn(4, WIDTH))
    own = coop_state(clip, drawn(3, 4, WIDTH))
    other = coop_state(clip, drawn(3, 4, WIDTH), list(reversed(CLASSES)))
    counted = mocoop_state(clip, GROUPS | {"front": ("a close-up {}, in a garden.",)})
    for state, said in (
        ({"ctx": drawn(4, 512)}, r"tokens have 512 numbers, and those of .* have 32.*ViT-L 768"),
        (whole | {"token_prefix": whole["token_prefix"] + 1}, "with another CLIP than"),
        ({"ctx": own["ctx"][:2]}, "2 in all, and .* has 3 classes"),
        (other, "3 classes with other names or in another order"),
        (mocoop_state(clip), "3 experts, and there are 6 groups"),
        ({"visual.proj": drawn(2, 2)}, "no checkpoint of CoOp.*it has visual.proj"),
        (whole | {"compound_prompts_text.0": drawn(2, 2)}, "it has compound_prompts_text"),
        ({"token_prefix": whole["token_prefix"]}, "a context that is no CoOp's"),
        (cocoop_state(clip) | {"meta_net.linear1.weight": drawn(1, 9)}, "features of 9 numbers"),
    ):
        with pytest.raises(UserError, match=said):
            import_prompts(
                dassl_file(tmp_path / "m", state), config, tmp_path / "r", backbone=clip
            )
    changed = settings(place, groups=GROUPS | {"front": ("a close-up {}, in a garden.",)})
    with pytest.raises(UserError, match="counts words where tokens are meant"):
        import_prompts(dassl_file(tmp_path / "m", counted), changed, backbone=clip)
    with pytest.raises(UserError, match=r"is a folder\. Expected the checkpoint in it"):
        read_coop_file(tmp_path)
    assert not (tmp_path / "r").exists()


def test_other_class_names_are_noted(place, clip, tmp_path):
    """A shared context may be tested on other classes, and that is said."""
    state = coop_state(clip, drawn(4, WIDTH), ["cat", "dog"])
    with pytest.warns(UserNote, match="with other class names than those of"):
        import_prompts(dassl_file(tmp_path / "m", state), settings(place), backbone=clip)
    bare = dassl_file(tmp_path / "m", {"ctx": drawn(4, WIDTH)})
    with pytest.warns(UserNote, match="does not say which class names"):
        import_prompts(bare, settings(place), backbone=clip)


class Evil:
    """Its pickle asks for a call that leaves a file behind."""

    def __init__(self, target):
        self.target = target

    def __reduce__(self):
        return exec, (f"open({str(self.target)!r}, 'w')",)


def test_objects_other_than_a_schedule(clip, tmp_path):
    """They are neither opened nor passed over."""
    state = coop_state(clip, drawn(4, WIDTH))
    torch.save({"state_dict": state, "scheduler": Evil(tmp_path / "ran")}, tmp_path / "m")
    with pytest.raises(UserError, match=r"pickled objects \(.*exec\).*not opened"):
        read_coop_file(tmp_path / "m")
    assert not (tmp_path / "ran").exists()
