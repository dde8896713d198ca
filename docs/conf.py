"""Settings of the pages that `make docs` builds: every Markdown page, and the code's docstrings.

The root of the project is the root of the pages, so that a link leads to the same file here and
where the repository is read.
"""

from __future__ import annotations

import re
import shutil
from importlib.metadata import version as installed_version
from pathlib import Path

from sphinx.application import Sphinx

ROOT = Path(__file__).parents[1]
API = ROOT / "docs" / "api"
CONTENTS = {
    "Guide": (
        "docs/installation",
        "docs/app",
        "docs/command-line",
        "docs/python",
        "docs/methods",
        "docs/protocols",
        "docs/federated",
        "docs/scale",
        "docs/data",
        "docs/templates",
        "docs/published",
        "docs/backbones",
        "docs/server",
        "docs/reliability",
    ),
    "Design and results": (
        "docs/design",
        "docs/results",
        "All tables <RESULTS>",
        "docs/speed",
        "BENCHMARKS",
    ),
    "Library": ("docs/api/index",),
    "Project": ("CONTRIBUTING", "SECURITY", "CHANGELOG", "assets/demo-clip/README"),
}

project = "MoCoOp"
version = release = installed_version("mocoop")
html_title = f"MoCoOp {version}"
html_theme = "furo"
html_static_path = ["site.css"]
html_css_files = ["site.css"]
html_copy_source = False
html_show_copyright = False

root_doc = "README"
include_patterns = ["*.md", "docs/**", "assets/demo-clip/README.md"]
exclude_patterns = [".*", "app", "build", "data", "mocoop", "pages", "runs", "tests"]
extensions = ["myst_parser", "sphinx.ext.autodoc", "sphinx.ext.napoleon", "sphinxcontrib.mermaid"]
myst_fence_as_directive = ["mermaid"]
myst_heading_anchors = 3

autodoc_default_options = {"members": True}
autodoc_member_order = "bysource"
autodoc_typehints_format = "short"
# Fields of settings have names such as `name` and `data`, which several classes share.
suppress_warnings = ["ref.python"]


def write_api_pages(app: Sphinx) -> None:
    """Writes one page for every package of the library that is there, and a list of them."""
    shutil.rmtree(API, ignore_errors=True)
    API.mkdir()
    packages = []
    for init in sorted((ROOT / "mocoop").rglob("__init__.py")):
        package = ".".join(init.parent.relative_to(ROOT).parts)
        modules = sorted({path.stem for path in init.parent.glob("*.py")})
        names = [f"{package}.{name}" for name in modules if not name.startswith("__")]
        parts = [f".. automodule:: {package}\n", *map(_module_section, names)]
        text = "\n".join([_heading(package, "="), *parts])
        (API / f"{package}.rst").write_text(text, encoding="utf-8")
        packages.append(package)
    contents = "".join(f"   {package}\n" for package in packages)
    text = f"{_heading('Packages', '=')}\n.. toctree::\n   :maxdepth: 2\n\n{contents}"
    (API / "index.rst").write_text(text, encoding="utf-8")


def _module_section(module: str) -> str:
    return f"{_heading(module, '-')}\n.. automodule:: {module}\n"


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def read_markdown(
    app: Sphinx, what: str, name: str, obj: object, options: object, lines: list[str]
) -> None:
    """Turns a docstring's Markdown code into that of reStructuredText, which Sphinx reads.

    `code` becomes ``code``, whatever letters follow it, and the underscore at the end of a name
    such as classes_ is no link. A field's sentence may hold a colon: behind a line without
    words Napoleon takes none of them for a type.
    """
    text = "\n".join(lines)
    text = re.sub(r"(?<![`\w:])`([^`]+)`(?!`)(?=(\w?))", _literal, text)
    parts = re.split(r"(``.+?``)", text, flags=re.DOTALL)
    parts[::2] = [re.sub(r"(?<=\w)_(?![\w:(]| \()", r"\\_", part) for part in parts[::2]]
    lines[:] = "".join(parts).split("\n")
    if what in ("attribute", "property"):
        lines.insert(0, "\\")


def _literal(found: re.Match[str]) -> str:
    return f"``{found[1]}``" + ("\\ " if found[2] else "")


def skip_inherited(app: Sphinx, what: str, name: str, obj: object, skip: bool, *_: object) -> bool:
    """Returns whether a member stays out: those that scikit-learn adds to an estimator do."""
    return skip or (getattr(obj, "__module__", None) or "").startswith("sklearn")


def add_contents(app: Sphinx, page: str, source: list[str]) -> None:
    """Adds the list of all pages to the first one, which does not need it elsewhere."""
    if page == root_doc:
        for caption, pages in CONTENTS.items():
            options = f":hidden:\n:caption: {caption}\n:maxdepth: 2\n"
            source[0] += "\n```{toctree}\n" + options + "\n" + "\n".join(pages) + "\n```\n"


def write_index(app: Sphinx, error: Exception | None) -> None:
    """Makes the README the page that a browser opens first."""
    if error is None:
        shutil.copyfile(Path(app.outdir) / "README.html", Path(app.outdir) / "index.html")


def setup(app: Sphinx) -> None:
    """Connects the functions above to the build."""
    app.connect("builder-inited", write_api_pages)
    app.connect("source-read", add_contents)
    app.connect("autodoc-process-docstring", read_markdown, priority=400)
    app.connect("autodoc-skip-member", skip_inherited)
    app.connect("build-finished", write_index)
