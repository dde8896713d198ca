"""Checks of a candidate's words: the slot, markup, class names, negations; no CLIP is needed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence

from mocoop.errors import UserError
from mocoop.template_making.grammar import grammar_words
from mocoop.templates import SLOT, check_template, fill

MOST_WORDS = 12
MOST_CHARACTERS = 300  # a longer text is no template, and is not looked at further
_BULLET = re.compile(r"^\s*(?:[-*•·–]\s+|\(?\d{1,3}[.):]\s+)")
_QUOTES = "\"'“”„‘’«»`"
_MARKUP = re.compile(r"https?:|www\.|://|javascript:|[<>`\\|#\[\]]|&\w+;", re.IGNORECASE)
_WORD = re.compile(r"[^\W_]+(?:['’-][^\W_]+)*")
_NEGATIONS = ("not", "no", "without", "except", "never", "isn't", "don't", "cannot")
_ASSISTANT = (
    "here is", "here are", "sure", "as an ai", "i cannot", "i can't", "sorry", "of course",
    "certainly", "template", "image of a photo", "photo of a photo", "photo of an image",
)  # fmt: skip
_NAMES = (
    "canon", "nikon", "kodak", "leica", "polaroid", "sony", "instagram", "pinterest",
    "flickr", "facebook", "youtube", "tiktok", "shutterstock", "getty", "google", "disney",
    "pixar", "marvel", "lego", "nintendo", "pokemon", "picasso", "monet", "rembrandt",
    "warhol", "banksy", "hokusai", "gogh", "vinci",
)  # fmt: skip
_OFFENSIVE = (
    "nude", "naked", "sexy", "porn", "erotic", "fuck", "fucking", "shit", "bitch",
    "bastard",
)  # fmt: skip
_FUNCTION_WORDS = (
    "a", "an", "the", "of", "in", "on", "at", "by", "with", "from", "to", "and", "or", "as",
    "for", "is", "are", "its", "this", "that", "these", "some", "over", "near", "under",
    "through", "into", "between", "during", "very", "image", "picture", "view", "shot",
    "scan", "art",
)  # fmt: skip


def clean(text: str) -> str:
    """Returns a candidate as a template is written: one line, lower case, a final full stop.

    List markers and quotes around it are removed, and "an {}" becomes "a {}", since most class
    names need it and CLIP's own templates have it for all.
    """
    text = unicodedata.normalize("NFC", text[: 2 * MOST_CHARACTERS])
    text = _BULLET.sub("", text).strip().rstrip(",;").strip(_QUOTES).strip().lower()
    text = re.sub(r" +", " ", text)
    text = re.sub(r"\ban \{\}", "a {}", text)
    text = text.rstrip(".").rstrip()
    return f"{text}." if text else ""


class WordChecks:
    """What is wrong with a template's words, for one data set.

    Args:
        class_names: the names of all its classes; a template must not contain any of them.
    """

    def __init__(self, class_names: Sequence[str]) -> None:
        self._banned: dict[tuple[str, ...], str] = {}
        for name in class_names:
            words = _words(fill(SLOT, name))
            for banned in (words, words[-1:]):
                for form in _forms(banned):
                    self._banned.setdefault(form, name)
        self._longest = max((len(form) for form in self._banned), default=0)
        self._english = grammar_words() | set(_FUNCTION_WORDS)

    def problem(self, template: str) -> str:
        """Returns why a cleaned template is refused; "" if its words are fine."""
        if len(template) > MOST_CHARACTERS:
            return f"longer than {MOST_CHARACTERS} characters"
        if any(unicodedata.category(letter)[0] == "C" for letter in template):
            return "a line break or an invisible character"
        if _MARKUP.search(template):
            return "an address or markup"
        slots = template.count(SLOT)
        if slots != 1:
            return f"{SLOT} is there {slots} times instead of once"
        rest = template.replace(SLOT, " ")
        if "{" in rest or "}" in rest:
            return f"a brace besides {SLOT}"
        try:
            check_template(template)
        except UserError:
            return f"a letter or digit next to {SLOT}"
        words = _words(rest)
        if not words:
            return f"no word besides {SLOT}"
        if len(words) > MOST_WORDS:
            return f"{len(words)} words; at most {MOST_WORDS} are used"
        return self._banned_words(template, words)

    def other_language(self, template: str) -> bool:
        """Returns whether a template seems to be in another language than English."""
        words = _words(template.replace(SLOT, " "))
        if not template.isascii():
            return True
        known = sum(word in self._english for word in words)
        return 3 * known < len(words)

    def _banned_words(self, template: str, words: tuple[str, ...]) -> str:
        """Returns which word a template must not have; "" if it has none."""
        for length in range(1, self._longest + 1):
            for start in range(len(words) - length + 1):
                name = self._banned.get(words[start : start + length])
                if name is not None:
                    return f"names a class ({name})"
        for kind, bad in (("a negation", _NEGATIONS), ("a name", _NAMES), ("rude", _OFFENSIVE)):
            found = [word for word in words if word in bad]
            if found:
                return f"{kind} ({found[0]})"
        for phrase in _ASSISTANT:
            if re.search(rf"\b{re.escape(phrase)}\b", template):
                return f"not a caption ({phrase})"
        return ""


def _words(text: str) -> tuple[str, ...]:
    """Returns the words of a text in lower case; a hyphen or an apostrophe joins two parts."""
    return tuple(_WORD.findall(text.lower().replace("’", "'")))


def _forms(words: tuple[str, ...]) -> list[tuple[str, ...]]:
    """Returns words as they are, and with the last one in the plural; none for one letter."""
    if not words or (len(words) == 1 and len(words[0]) < 2):
        return []
    *first, last = words
    ends = [last, f"{last}s", f"{last}es"]
    if last.endswith("y"):
        ends.append(f"{last[:-1]}ies")
    return [(*first, end) for end in ends]
