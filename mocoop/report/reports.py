"""The report of a run, and of a comparison of runs: one page in HTML each."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime

from mocoop.errors import UserError
from mocoop.evaluation.class_measures import frequent_mistakes
from mocoop.evaluation.paired import p_in_words, wilson_interval
from mocoop.evaluation.side_by_side import SideBySide
from mocoop.report import svg
from mocoop.report.facts import PARTS, Accuracy, Facts, citations, code_version, settings
from mocoop.report.html_page import heading, items, page, paragraph, table

DASHES = ("", "6 4", "2 3", "8 3 2 3")
MISTAKES = 10
MOST_BARS = 60
INTERVALS = (
    "In brackets: Wilson's 95 % interval over the test images. It says how exact the number is "
    "for these images; another seed can differ by more."
)


def run_report(known: Facts, notes: Sequence[str] = ()) -> str:
    """Returns the report of a finished run as HTML; it needs only the run's files.

    Args:
        known: from `facts`.
        notes: sentences to show below the title.
    """
    parts = [_made(), *(paragraph(note, note=True) for note in notes)]
    parts += [heading("Accuracy on test images")]
    if known.accuracies:
        parts += [_accuracy_figure({known.name: known}), _accuracy_table([known])]
        parts += [paragraph(INTERVALS, note=True)]
    else:
        parts += [paragraph("The run was not tested: there were no test images.")]
    if "harmonic_mean" in known.results:
        parts += [paragraph(f"Harmonic mean (HM) of base and new: {_hm(known)}.")]
    if known.chosen:
        parts += [paragraph(known.chosen, note=True)]
    parts += _training([known])
    parts += [part for one in known.accuracies for part in _details(known, one)]
    parts += [heading("Settings"), table((), settings(known)), *_templates(known)]
    return page(f"Report: {known.title}", [*parts, *_cite({known.name: known})])


def comparison_report(
    known: Mapping[str, Facts], beside: SideBySide | None = None, notes: Sequence[str] = ()
) -> str:
    """Returns the report of a comparison of finished runs as HTML.

    Args:
        known: name of a run → its facts; one run or more.
        beside: the answers of methods to the same images, if they were compared.
        notes: sentences to show below the title, such as which runs are left out.

    Raises:
        UserError: without a run.
    """
    if not known:
        raise UserError("A report needs at least one finished run; there is none.")
    runs = list(known.values())
    data = list(dict.fromkeys(one.data for one in runs))
    parts = [_made(), *(paragraph(note, note=True) for note in notes)]
    parts += [heading("Accuracy on test images"), _accuracy_figure(known), _accuracy_table(runs)]
    parts += [paragraph(INTERVALS, note=True)]
    chosen = [f"{one.name}: {one.chosen}" for one in runs if one.chosen]
    parts += [items(chosen)] if chosen else []
    parts += _image_by_image(beside) if beside is not None else []
    parts += _training(runs)
    for one in runs:
        parts += [heading(f"Settings of {one.name}"), table((), settings(one))]
    title = f"Report: {len(runs)} run{'s' * (len(runs) != 1)} on {', '.join(data)}"
    return page(title, [*parts, *_cite(known)])


def _made() -> str:
    today = datetime.now(UTC).date().isoformat()
    return paragraph(f"Made on {today} with {code_version()}.", note=True)


def _accuracy_figure(known: Mapping[str, Facts]) -> str:
    """Returns bars of all runs by classes, with zero-shot once for each set of test images."""
    rows: list[svg.Bar] = []
    told: set[tuple[str, str, int, float]] = set()
    several = len(known) > 1
    for part in PARTS:
        untrained: list[svg.Bar] = []
        for name, one in known.items():
            for found in (a for a in one.accuracies if a.part == part):
                interval, label = found.interval, f"{name}, {part}" if several else PARTS[part]
                ends = interval.low, interval.high
                rows.append(svg.Bar(label, found.value, one.colour, *ends))
                base = found.zero_shot_interval
                if found.zero_shot is None or base is None:
                    continue
                same = (one.setup.config.data, part, found.images, round(found.zero_shot, 6))
                if same not in told:
                    told.add(same)
                    of = f"{one.data}, {part}" if several else PARTS[part]
                    ends = base.low, base.high
                    untrained.append(svg.Bar(f"zero-shot, {of}", found.zero_shot, svg.GREY, *ends))
        rows += untrained
    return svg.bars(rows, "Accuracies with their intervals, beside zero-shot")


def _accuracy_table(runs: Sequence[Facts]) -> str:
    heads = ("run", "method", "classes", "images", "accuracy", "zero-shot")
    measures = ("gain", "macro-F1", "ECE")
    rows = [
        (
            one.name,
            one.method,
            PARTS[found.part],
            f"{found.images:,}",
            _with_interval(found),
            "not saved" if found.zero_shot is None else f"{found.zero_shot:.1f} %",
            "" if found.gain is None else f"{found.gain:+.1f}",
            _percent(found.macro_f1),
            _percent(found.calibration_error),
        )
        for one in runs
        for found in one.accuracies
    ]
    return table((*heads, *measures), rows, numbers=6)


def _image_by_image(beside: SideBySide) -> list[str]:
    """Returns the accuracies on the same images, and McNemar's test of all pairs."""
    count = len(beside.items)
    rows = []
    for name, right in zip(beside.names, beside.right, strict=True):
        interval = wilson_interval(int(right.sum()), count)
        share = 100 * right.mean()
        rows.append((name, f"{share:.1f} % [{interval.low:.1f}, {interval.high:.1f}]"))
    pairs = []
    for first in range(len(beside.names)):
        for second in range(first + 1, len(beside.names)):
            test = beside.pair(first, second)
            low, high = test.interval.low, test.interval.high
            pairs.append(
                (
                    beside.names[first],
                    beside.names[second],
                    f"{test.only_first}",
                    f"{test.only_second}",
                    f"{test.difference:+.1f} [{low:+.1f}, {high:+.1f}]",
                    p_in_words(test.p_value),
                )
            )
    heads = ("method", "against", "images won", "images lost", "difference, points", "McNemar")
    return [
        heading(f"Image by image, on the same {count:,} test images"),
        table(("method", "accuracy"), rows, numbers=1),
        table(heads, pairs, numbers=4),
        paragraph(
            "Won: only the first method is right. The interval holds 95 % of the differences "
            "over 10,000 bootstrap resamples of the images. p is that of McNemar's exact test, "
            "two-sided; with many pairs, some are below 0.05 by chance.",
            note=True,
        ),
    ]


def _training(runs: Sequence[Facts]) -> list[str]:
    """Returns the curves of validation accuracy, training accuracy and loss."""
    figures = []
    for title, unit, key in (
        ("Accuracy on validation images", " %", "val_accuracy"),
        ("Accuracy on training images", " %", "train_accuracy"),
        ("Classification loss", "", "classification"),
    ):
        drawn: dict[str, int] = {}
        lines = []
        for one in runs:
            repeat = drawn[one.method] = drawn.get(one.method, -1) + 1
            points = tuple(
                (float(record["epoch"]), record.get(key, record["losses"].get(key)))
                for record in one.records
            )
            lines.append(svg.Line(one.name, points, one.colour, DASHES[repeat % len(DASHES)]))
        figure = svg.curves(lines, f"{title} by epoch", unit)
        figures += [f"<h3>{title}</h3>", figure] if figure else []
    if not figures:
        return [
            heading("Training"),
            paragraph("No run here recorded two epochs or more, so there is no curve."),
        ]
    return [heading("Training"), *figures]


def _details(known: Facts, accuracy: Accuracy) -> list[str]:
    """Returns accuracy by class and style, use of the experts, and mistakes, on some classes."""
    found = known.results[accuracy.part]
    words = PARTS[accuracy.part]
    parts = []
    for key, title in (("per_style", "style"), ("per_class", "class")):
        shares = sorted((found.get(key) or {}).items(), key=lambda pair: pair[1])
        if shares:
            rows = [svg.Bar(name, value, known.colour) for name, value in shares[:MOST_BARS]]
            parts += [heading(f"Accuracy by {title}, {words}, worst first")]
            parts += [svg.bars(rows, f"Accuracy by {title}")]
            if len(shares) > MOST_BARS:
                parts += [paragraph(f"Only {MOST_BARS} of {len(shares)} are shown.", note=True)]
    usage = found.get("expert_usage") or {}
    if len(usage) > 1:
        rows = [svg.Bar(name, 100 * share, known.colour) for name, share in usage.items()]
        parts += [heading(f"Mean weight of each expert, {words}")]
        parts += [svg.bars(rows, "Mean weight of each expert")]
        if found.get("style_nmi") is not None:
            parts += [
                paragraph(
                    "Normalised mutual information (NMI) of the first expert and the true style: "
                    f"{found['style_nmi']:.2f} (0: independent, 1: one determines the other)."
                )
            ]
    mistakes = frequent_mistakes(found.get("confusion") or {}, MISTAKES)
    if mistakes:
        rows_ = [(true, predicted, str(images)) for true, predicted, images in mistakes]
        parts += [heading(f"Most frequent mistakes, {words}")]
        parts += [table(("true class", "predicted", "images"), rows_, numbers=1)]
    return parts


def _templates(known: Facts) -> list[str]:
    rows = [(name, " | ".join(templates)) for name, templates in known.setup.groups.items()]
    return [heading("Groups of templates"), table(("group", "templates"), rows)]


def _cite(known: Mapping[str, Facts]) -> list[str]:
    names = ", ".join(dict.fromkeys(one.setup.config.backbone for one in known.values()))
    prints = dict.fromkeys(one.setup.backbone_fingerprint for one in known.values())
    return [
        heading("How to cite"),
        items(citations(known)),
        paragraph(
            f"Please also name the code ({code_version()}) and the CLIP: {names}, fingerprint "
            f"{', '.join(prints)}."
        ),
    ]


def _with_interval(found: Accuracy) -> str:
    return f"{found.value:.1f} % [{found.interval.low:.1f}, {found.interval.high:.1f}]"


def _percent(value: float | None) -> str:
    return "" if value is None else f"{value:.1f} %"


def _hm(known: Facts) -> str:
    return f"{float(known.results['harmonic_mean']):.1f} %"
