"""A lesson on paper: the question with room for predictions; the answer on pages of its own."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Sequence

import pandas as pd

from app.lab import words
from app.lab.lesson import Lesson, robustness
from app.lab.lesson_figures import Figures
from app.lab.paper import as_svg
from app.lab.terms_words import TERMS

_STYLE = """
@page { size: A4; margin: 18mm; }
* { box-sizing: border-box; }
body { font: 12pt/1.45 system-ui, sans-serif; color: #111; background: #fff; max-width: 176mm;
  margin: 0 auto; padding: 8mm 0; }
h1 { font-size: 20pt; margin: 0 0 4mm; } h2 { font-size: 13pt; margin: 6mm 0 2mm; }
ol { list-style: none; padding: 0; margin: 3mm 0; } ol li { margin: 2.5mm 0; padding-left: 8mm;
  text-indent: -8mm; }
.terms { columns: 2; column-gap: 6mm; padding-left: 4mm; font-size: 8pt; line-height: 1.3;
  margin: 1mm 0 0; }
.terms li { break-inside: avoid; margin-bottom: 1mm; }
ol li::before { content: "\\2610"; display: inline-block; width: 8mm; text-indent: 0; }
.line { border-bottom: 1px solid #888; height: 7mm; }
.who { display: flex; gap: 8mm; color: #555; } .who span { flex: 1; border-bottom: 1px solid #888;
  padding-bottom: 1mm; }
.pictures { display: flex; flex-wrap: wrap; gap: 2mm 4mm; }
.pictures figure { width: 25mm; margin: 0; }
.pictures img { width: 25mm; image-rendering: pixelated; outline: 1px solid #888; }
.pictures figcaption { font-size: 8pt; line-height: 1.25; }
.answer { break-before: page; border-top: 1px solid #ccc; padding-top: 6mm; }
figure { margin: 3mm 0; break-inside: avoid; } figcaption { font-size: 10pt; color: #444; }
figure svg { width: 100%; height: auto; } footer { font-size: 9pt; color: #555; margin-top: 5mm; }
@media print { .answer { border: 0; padding: 0; } body { padding: 0; } }
"""


def handout(
    lesson: Lesson,
    finals: pd.DataFrame,
    number: int,
    figures: Figures,
    note: str,
    solved: bool,
    pictures: Sequence[tuple[bytes, str]] = (),
) -> str:
    """Returns a lesson as an HTML page to print, which needs no network.

    Args:
        lesson: the lesson.
        finals: from `tables.final_table`.
        number: the lesson's number.
        figures: those of the answer.
        note: a line in Markdown about the trainings, for the end.
        solved: whether the answer follows, on pages of its own.
        pictures: examples from the lesson's sets as PNG, each with a caption in Markdown.
    """
    right = lesson.choices[lesson.answer(finals)]
    choices = "".join(f"<li>{as_html(choice)}</li>" for choice in lesson.choices)
    drawn = "".join(
        f"<figure>{as_svg(figure)}<figcaption>{as_html(caption)}</figcaption></figure>"
        for caption, figure in figures.values()
    )
    shown = "".join(
        f'<figure><img alt="" src="data:image/png;base64,{base64.b64encode(png).decode()}">'
        f"<figcaption>{as_html(caption)}</figcaption></figure>"
        for png, caption in pictures
    )
    if shown:
        shown = f'<div class="pictures">{shown}</div>'
    title = f"{number}. {lesson.title}"
    explained = "".join(
        f"<li><strong>{html.escape(name)}</strong>: {as_html(TERMS[name])}</li>"
        for name in lesson.terms
    )
    if explained:
        explained = f'<h2>{words.TERMS}</h2><ul class="terms">{explained}</ul>'
    lines = '<div class="line"></div>' * 4
    told = [lesson.reveal(finals), robustness(lesson, finals)]
    answer = f"""
<section class="answer"><h1>{html.escape(title)}</h1><h2>{words.PRINTED_ANSWER}</h2>
<p><strong>{as_html(right)}.</strong></p>
{"".join(f"<p>{as_html(text)}</p>" for text in told)}{drawn}
<h2>{words.PRINTED_MEANING}</h2><p>{as_html(lesson.takeaway(finals))}</p>
<footer>{as_html(note)}</footer></section>"""
    return f"""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width"><style>{_STYLE}</style></head><body>
<main><section class="question"><p class="who"><span>Name</span><span>Date</span></p>
<h1>{html.escape(title)}</h1><p>{as_html(lesson.story)}</p>{shown}
<h2>{words.PRINTED_QUESTION}</h2><p>{as_html(lesson.question)}</p><ol>{choices}</ol>
<h2>{words.PRINTED_REASON}</h2>{lines}{explained}</section>
{answer if solved else ""}</main></body></html>"""


def as_html(text: str) -> str:
    """Returns the HTML of a text with Markdown's **bold** and *italic*; the rest is literal."""
    safe = html.escape(text, quote=False)
    bold = re.sub(r"\*\*(.+?)\*\*", r"<strong>\1</strong>", safe)
    return re.sub(r"\*(.+?)\*", r"<em>\1</em>", bold)
