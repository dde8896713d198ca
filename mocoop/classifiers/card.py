"""The model card of an exported classifier, with the head that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from mocoop.clip.known import weights_of
from mocoop.markdown import code, literal, markdown_table
from mocoop.runs.chosen_on_test import chosen_on_test, in_words
from mocoop.runs.model_card import results_table, settings_table
from mocoop.runs.run import Run, RunSetup
from mocoop.shots import shots_value

TAGS = ("clip", "prompt-learning", "few-shot")
MIXTURE = "mixture-of-experts"
_METRICS = {"all": "Accuracy", "base": "Accuracy (base classes)", "new": "Accuracy (new classes)"}


def classifier_card(
    run: Run, dim: int, onnx: bool, tower: bool = False, with_frozen: bool = False
) -> str:
    """Returns the model card of a run's exported classifier, as Markdown with a head in YAML.

    Args:
        run: the finished run.
        dim: size of its image features.
        onnx: whether head.onnx is beside the card.
        tower: whether classifier.onnx and label.py are beside it.
        with_frozen: whether the router sees the frozen image tower's features behind the others.
    """
    setup, results = run.setup(), run.results()
    config = setup.config
    known = setup.trained_classes if setup.knows_trained_only else len(setup.class_names)
    names = setup.class_names[:known]
    classes, experts = len(names), len(setup.experts)
    shots = shots_value(config.shots)
    chosen = chosen_on_test(config, results)
    parts = [
        f"# A classifier of {classes} classes",
        f"Made by `mocoop export` from the run {code(run.name)} (method "
        f"`{config.method}`, mocoop {literal(setup.version) or 'of an unknown version'}). "
        "It holds the text features and the router, and needs no text tower. "
        f"Images are encoded by the CLIP {code(config.backbone)} "
        f"(fingerprint {code(setup.backbone_fingerprint)}), whose weights are not in this "
        "repository. If LayerNorms or tokens of the image tower were trained, "
        "`classifier.safetensors` has them.",
        "## Use",
        "```python\nimport mocoop\n\n"
        'exported = mocoop.load_export(".")\n'
        'routed = exported.predict(["picture.jpg"])\n'
        "print(routed.class_names[routed.probabilities[0].argmax()])\n```",
        "`mocoop serve .` answers pictures over HTTP.",
        *([_whole(classes, experts, setup.config.num_chosen)] if tower else []),
        *([_head(dim, classes, experts, with_frozen)] if onnx else []),
        "## Results on test images",
        results_table(results),
        *([in_words(chosen)] if chosen else []),
        "## Training",
        settings_table(run),
        "## Limits",
        f"- It always answers with one of its {classes} classes, also for a picture of something "
        "else.\n"
        f"- It was trained on {shots} of {code(Path(config.data).name)}, and tested on "
        "images of the same set. Other pictures may be classified less well.\n"
        "- The probabilities are not calibrated beyond the calibration error above."
        + (_white(setup.white) if setup.white is not None else ""),
        *([_experts(setup)] if experts > 1 else []),
        "## Class names",
        ", ".join(map(literal, names)),
        "## Source",
        "Mixture of Prompt Learning for Vision Language Models, "
        "[arXiv 2409.12011](https://arxiv.org/abs/2409.12011).",
    ]
    return _front_matter(run, setup, results) + "\n\n".join(parts) + "\n"


def _front_matter(run: Run, setup: RunSetup, results: Mapping[str, Any]) -> str:
    """Returns what the hub reads: tags, task, base model, and the results."""
    weights = weights_of(setup.config.backbone)
    tags = [*TAGS, *([MIXTURE] if len(setup.experts) > 1 else [])]
    values: dict[str, Any] = {
        "library_name": "mocoop",
        "pipeline_tag": "image-classification",
        "tags": tags,
    }
    if weights is not None:
        values["base_model"] = weights.repository
    data = Path(setup.config.data).name
    measured = [
        {"type": "accuracy", "name": name, "value": round(results[part]["accuracy"], 2)}
        for part, name in _METRICS.items()
        if part in results
    ]
    if measured:
        result = {
            "task": {"type": "image-classification"},
            "dataset": {"name": data, "type": data, "split": "test"},
            "metrics": measured,
        }
        values["model-index"] = [{"name": run.name, "results": [result]}]
    text = yaml.safe_dump(values, sort_keys=False, allow_unicode=True)
    return f"---\n{text}---\n\n"


def _whole(classes: int, experts: int, chosen: int) -> str:
    return (
        "## classifier.onnx\n\n"
        "The whole way from picture to label, with the image tower's weights inside, in fp32. It "
        "needs onnxruntime, numpy and Pillow, and no torch:\n\n"
        "```sh\npython label.py picture.jpg\n```\n\n"
        "```python\nfrom pathlib import Path\n\n"
        "from label import label, open_session, read_picture\n\n"
        'session = open_session(Path("classifier.onnx"))\n'
        'print(label(session, read_picture(Path("picture.jpg"))))\n```\n\n'
        "Input: `pictures` (batch, height, width, 3), RGB, uint8, of any size. Resizing, crop and "
        "normalisation are inside, and equal to Pillow's. Outputs: `label` (batch), "
        "`probabilities` "
        f"and `logits` (batch, {classes}), `experts` (batch, {min(chosen, experts)}), the numbers "
        f"of the chosen experts, and their `weights` (batch, {experts}). The file's metadata has "
        "the names, `class_names` and `experts`, as JSON."
    )


def _head(dim: int, classes: int, experts: int, with_frozen: bool) -> str:
    features = f"(batch, {dim}), the L2-normalised features of this image tower"
    if with_frozen:
        features = (
            f"(batch, {2 * dim}), the L2-normalised features of this image tower, then those of "
            "the CLIP's own without learned tokens, which the router sees"
        )
    return (
        "## head.onnx\n\n"
        f"Input: `image_features` {features}. "
        f"Outputs: `probabilities` and `logits` (batch, {classes}), and the router's `weights` "
        f"and `scores` (batch, {experts}). Labels are indices into `class_names` in "
        "`classifier.json`."
    )


def _white(white: float) -> str:
    """Returns the line about images of more than 8 bits."""
    return (
        f"\n- It was trained on images of more than 8 bits per channel, where {white:g} is white. "
        "`predict` scales such files in the same way. Pictures in RGB must be scaled before."
    )


def _experts(setup: RunSetup) -> str:
    """Returns the section about the experts and the templates that each was started from."""
    rows = [
        (literal(name), "; ".join(map(code, templates)))
        for name, templates in setup.groups.items()
    ]
    return "## Experts\n\n" + markdown_table(("expert", "hard prompts"), rows)
