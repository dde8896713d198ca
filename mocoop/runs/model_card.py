"""The README of an exported run: its settings, its test results and how to use it."""

from __future__ import annotations

from pathlib import Path
from shlex import quote
from typing import Any

from mocoop.config import TrainConfig
from mocoop.markdown import code, literal, markdown_table
from mocoop.presets import differences, names_all_classes
from mocoop.runs.chosen_on_test import chosen_on_test, in_words
from mocoop.runs.run import Run
from mocoop.shots import shots_value

_PARTS = {"all": "all classes", "base": "base half (trained)", "new": "new half (never trained)"}


def model_card(run: Run, name: str) -> str:
    """Returns the model card of a finished run as Markdown.

    Args:
        run: the run.
        name: the name that it has once its zip is unpacked.

    Raises:
        UserError: for a run that is not finished, or damaged.
    """
    run.require_finished()
    setup, results = run.setup(), run.results()
    config = setup.config
    chosen = chosen_on_test(config, results)
    data = Path(config.data).name
    shots = shots_value(config.shots)
    title = f"{config.method} on {data}, {shots} per class, seed {config.seed}"
    parts = [
        f"# {literal(title)}",
        "A run of [MoCoOp](https://arxiv.org/abs/2409.12011), made with mocoop "
        f"{literal(setup.version) or '(unknown version)'}.",
        settings_table(run),
        "## Results on test images",
        results_table(results),
        *([in_words(chosen)] if chosen else []),
        "## Settings that differ from the method's preset",
        _differences(config),
        "All settings, class names and template groups are in `config.json`.",
        "## Files",
        "`config.json`: settings; `metrics.jsonl`: a record per epoch; `results.json`: test "
        "results; `weights.safetensors`: the learned parameters; `features.safetensors`: text "
        "features by epoch (methods with prompts); `transfer-*.json`: tests on other data sets.",
        "## Use",
        "```sh\nmocoop unpack RUN.zip          # the zip file, or import it on the page Compare\n"
        f"mocoop predict {quote(name)} picture.png\nmocoop evaluate {quote(name)}\n```",
        "The run needs the same CLIP weights (the fingerprint is checked). `mocoop evaluate` also "
        f"needs the data set {code(data)}.",
        "## Class names",
        ", ".join(map(literal, setup.class_names)),
    ]
    return "\n\n".join(parts) + "\n"


def settings_table(run: Run) -> str:
    """Returns the main settings of a run as a table."""
    setup = run.setup()
    config = setup.config
    return markdown_table(
        ("", ""),
        [
            ("Method", config.method),
            ("Data", literal(Path(config.data).name)),
            ("Classes", _classes(config, setup.trained_classes, len(setup.class_names))),
            ("Training images per class", shots_value(config.shots)),
            *([("Style", literal(config.style))] if config.style else []),
            *_names_in_text_loss(config),
            *([("Imported from", literal(setup.imported))] if setup.imported else []),
            ("Seed", config.seed),
            ("Experts", ", ".join(map(literal, setup.experts))),
            ("CLIP", literal(config.backbone)),
            ("Fingerprint of the CLIP's weights", code(setup.backbone_fingerprint)),
        ],
    )


def _differences(config: TrainConfig) -> str:
    changed = differences(config)
    if not changed:
        return f"None: the recipe of `{config.method}` for this CLIP."
    return markdown_table(
        ("setting", "value"), [(code(name), literal(value)) for name, value in changed.items()]
    )


def _names_in_text_loss(config: TrainConfig) -> list[tuple[str, str]]:
    """Returns the row that says which names the text loss saw, if that matters."""
    if config.classes != "base" or config.text_weight == 0:
        return []
    every = names_all_classes(config)
    return [("Names in the text loss", "all classes" if every else "trained classes only")]


def _classes(config: TrainConfig, trained: int, known: int) -> str:
    if config.classes == "base":
        return f"{trained} trained (the base half) of {known}"
    return str(known)


def results_table(results: dict[str, Any]) -> str:
    """Returns the test results of a run as a table, or the sentence that there are none."""
    rows = [
        (
            words,
            f"{results[part]['accuracy']:.2f} %",
            _percent(results[part].get("calibration_error")),
            results[part]["num_images"],
        )
        for part, words in _PARTS.items()
        if part in results
    ]
    if not rows:
        return "It was not tested: there are no test images."
    text = markdown_table(("classes", "accuracy", "calibration error", "images"), rows)
    if "harmonic_mean" in results:
        text += f"\n\nHarmonic mean of base and new: {results['harmonic_mean']:.2f} %."
    return text


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:.2f} %"
