"""Names from outside as text: no Markdown of the app fetches a picture or links elsewhere.

Names of runs, classes, groups and files, templates, link parameters and error messages stand in
many sentences. A name such as `![i](http://…)` in one of them would make the visitor's browser
fetch a picture. So everything that the app sends to the browser passes `protect`, which leaves
bold, lists and code alone, and takes the effect from pictures and from links to other sites.
"""

from __future__ import annotations

import re
from functools import wraps
from typing import Any

from google.protobuf.message import Message
from streamlit.delta_generator import DeltaGenerator

from app.common.words import escape_markdown

OWN_SITES = ("https://huggingface.co/",)  # the pages of the CLIPs that can be downloaded
JOINER = "\u2060"  # not visible; ends what a browser's Markdown takes for an address
_OWN_PAGE = re.compile(r"[A-Za-z_][\w-]*(\?[^\s()<>\\:/]*)?\)")
_LINK = re.compile(r"\]\(")
_ADDRESS = re.compile(r"(?i)\b([a-z][a-z0-9+.-]{1,31}:)(?=//)|\b(www)(?=\.)")
_MAIL = re.compile(r"(?<=[\w.+-])@(?=[\w-]+\.)")
_ANGLE = re.compile(r"(?<!\\)<(?=[A-Za-z][A-Za-z0-9+.-]*:|[^\s<>]+@)")
_PLOT_LINK = re.compile(r"(?i)(?:<|\\u003c)(?=\s*a\s)")
# The fields of Streamlit's elements that the browser reads as Markdown.
_FIELDS = (
    "body", "label", "help", "text", "title", "caption", "captions", "delta", "delta_description",
)  # fmt: skip
# The messages whose options are Markdown too. The browser sends the text of a chosen option back,
# so an option that is a name is made safe before, by `as_option`; else it could not be chosen.
_OPTIONS = {"Option": "content", "Radio": "options", "Slider": "options", "MenuButton": "options"}
_NO_MARKDOWN = ("html", "text", "exception", "code", "iframe", "json", "tab")
_MARK = "shows_names_as_text"


def without_directives(text: str) -> str:
    r"""Returns Markdown in which icons, colours and formulas are text; code stays as it is.

    Names from outside stand in messages: a group may be called `:material/home:` or `$x$`. What
    is escaped already stays as it is.

    >>> without_directives("The group ':red[a]' costs $5. See `:b`.")
    "The group '\\:red[a]' costs \\$5. See `:b`."
    """
    return re.sub(r"(`[^`]*`|\\.)|([$]|:(?=\w))", lambda m: m[1] or f"\\{m[2]}", text)


def without_links(text: str) -> str:
    r"""Returns Markdown whose pictures and links to other sites are shown as text.

    Links to pages of the app and to `OWN_SITES` stay.

    >>> without_links("the run ![i](http://x.org/i.png)")[:15]
    'the run !\\[i]\\('
    """
    if not any(sign in text for sign in ("](", "![", "]:", "//", "www.", "@", "<")):
        return text
    text = text.replace("![", "!\\[").replace("]:", "]\\:")
    kept: list[str] = []
    end = 0
    for link in _LINK.finditer(text):
        kept.append(_without_addresses(text[end : link.start()]))
        own = next((site for site in OWN_SITES if text.startswith(site, link.end())), "")
        kept.append("](" + own if own or _OWN_PAGE.match(text, link.end()) else "]\\(")
        end = link.end() + len(own)
    return "".join((*kept, _without_addresses(text[end:])))


def as_option(name: str) -> str:
    r"""Returns a name as an option of pills, segments, radio buttons or a slider: as text.

    `protect` leaves it as it is, so the option that comes back from the browser is known.

    >>> as_option("![i](x)"), as_option("low resolution")
    ('!\\[i\\]\\(x\\)', 'low resolution')
    """
    return without_links(escape_markdown(name))


def protect() -> None:
    """Lets every element and container that Streamlit sends pass `without_links`."""
    for name in ("_enqueue", "_block"):
        send = getattr(DeltaGenerator, name)
        if not hasattr(send, _MARK):
            setattr(DeltaGenerator, name, _protected(send))


def _protected(send: Any) -> Any:
    """Returns a method that changes the messages among its arguments before it sends them."""

    @wraps(send)
    def changed(self: DeltaGenerator, *given: Any, **named: Any) -> Any:
        kind = next((value for value in given if isinstance(value, str)), "")
        for value in (*given, *named.values()):
            if isinstance(value, Message) and kind not in _NO_MARKDOWN:
                _change(value)
        return send(self, *given, **named)

    setattr(changed, _MARK, True)
    return changed


def _change(message: Message) -> None:
    """Takes the effect from links in the Markdown of an element or container."""
    if getattr(message, "allow_html", False):  # drawn by the app, which escapes names itself
        return
    fields = (*_FIELDS, _OPTIONS.get(message.DESCRIPTOR.name, ""))
    for field, value in message.ListFields():
        if field.name == "spec" and isinstance(value, str):  # a figure of Plotly
            message.spec = _PLOT_LINK.sub("&lt;", value)
        elif field.name in fields and isinstance(value, str):
            setattr(message, field.name, without_links(value))
        elif field.name in fields and field.type == field.TYPE_STRING:
            value[:] = [without_links(one) for one in value]
        elif field.type == field.TYPE_MESSAGE and field.name not in _NO_MARKDOWN:
            for one in [value] if isinstance(value, Message) else value:
                if isinstance(one, Message):
                    _change(one)


def _without_addresses(text: str) -> str:
    text = _ADDRESS.sub(lambda found: f"{found[0]}{JOINER}", _ANGLE.sub(r"\\<", text))
    return _MAIL.sub(f"@{JOINER}", text)
