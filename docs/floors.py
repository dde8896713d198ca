"""Prints the project's packages by floor as a Mermaid diagram, read from the imports in the code.

`python docs/floors.py` prints it, `python docs/floors.py --write` puts it into CONTRIBUTING.md.
A package stands one floor above the highest package that it imports. An arrow means "imports";
an arrow that follows from others is left out.
"""

from __future__ import annotations

import argparse
import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

ROOT = Path(__file__).parents[1]
CODE = ("mocoop", "app", "pages", "streamlit_app.py")
BASE, PUBLIC = "mocoop (base)", "mocoop (public API)"
START, END = "<!-- floors: python docs/floors.py --write -->\n", "<!-- end of floors -->\n"


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Returns the dotted name of every module of the code, and its file."""
    found = [path for part in CODE for path in (root / part, *(root / part).rglob("*.py"))]
    files = sorted(path for path in found if path.is_file())
    if not files:
        raise FileNotFoundError(f"there is no code in {root}")
    return {".".join(path.relative_to(root).with_suffix("").parts): path for path in files}


def imports(name: str, path: Path, known: set[str]) -> set[str]:
    """Returns the known modules that a file imports, at any depth of its code.

    An import of a package, or of a name that it defines, is one of its `__init__`.
    """
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {_module(alias.name, known) for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            start = name.split(".")[: -node.level] if node.level else []
            source = ".".join([*start, *([node.module] if node.module else [])])
            for alias in node.names:
                found.add(_module(f"{source}.{alias.name}", known) or _module(source, known))
    return {target for target in found if target} - {name}


def _module(name: str, known: set[str]) -> str:
    """Returns the known module of a dotted name, "" if there is none."""
    return next((module for module in (name, f"{name}.__init__") if module in known), "")


def package_graph(root: Path = ROOT) -> dict[str, set[str]]:
    """Returns every package with the packages that it imports.

    The modules directly in `mocoop/` are two groups: those that import no package of the library
    (its base) and those that do (its public API). `__main__` is the command line's. What
    `mocoop/__init__.py` names is imported only when a user asks for it, so it counts as the base.
    """
    files = modules(root)
    graph = {name: imports(name, path, set(files)) for name, path in files.items()}
    graph["mocoop.__init__"] = set()
    package = {name: name.rpartition(".")[0] or name for name in graph}
    package |= {name: "mocoop.cli" for name in graph if name == "mocoop.__main__"}
    top = {name for name in graph if package[name] == "mocoop"}
    public: set[str] = set()
    while more := {n for n in top - public if any(t not in top or t in public for t in graph[n])}:
        public |= more
    package |= {name: PUBLIC if name in public else BASE for name in top}
    result: dict[str, set[str]] = {name: set() for name in package.values()}
    for name, targets in graph.items():
        result[package[name]] |= {package[target] for target in targets} - {package[name]}
    return result


def circles(graph: dict[str, set[str]]) -> list[tuple[str, ...]]:
    """Returns the groups of packages that import each other in a circle; none is right."""
    above = {name: _reached(graph, name) for name in graph}
    groups = {
        tuple(sorted({name} | {other for other in above[name] if name in above[other]}))
        for name in graph
    }
    return sorted(group for group in groups if len(group) > 1)


def diagram(graph: dict[str, set[str]]) -> str:
    """Returns the packages by floor in Mermaid's language; a circle is drawn as one box."""
    box = {name: name for name in graph}
    box |= {name: " ⇄ ".join(group) for group in circles(graph) for name in group}
    joined: dict[str, set[str]] = {name: set() for name in box.values()}
    for name, targets in graph.items():
        joined[box[name]] |= {box[target] for target in targets} - {box[name]}
    floor: dict[str, int] = {}
    for name in TopologicalSorter(joined).static_order():
        floor[name] = max((floor[target] + 1 for target in joined[name]), default=0)
    key = {name: re.sub(r"\W+", "_", name).strip("_") for name in joined}
    lines = ["flowchart TD"]
    for level in sorted(set(floor.values()), reverse=True):
        lines.append(f"    subgraph floor{level}[floor {level}]")
        names = sorted(name for name in joined if floor[name] == level)
        lines += [f'        {key[name]}["{name}"]' for name in names]
        lines.append("    end")
    for name in sorted(joined):
        indirect = {far for near in joined[name] for far in _reached(joined, near)}
        lines += [f"    {key[name]} --> {key[t]}" for t in sorted(joined[name] - indirect)]
    return "\n".join(lines) + "\n"


def with_diagram(text: str, drawn: str) -> str:
    """Returns the text with the diagram between its two marks."""
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ValueError(f"the text needs the lines {START.strip()} and {END.strip()}")
    return f"{before}{START}```mermaid\n{drawn}```\n{END}{after}"


def _reached(graph: dict[str, set[str]], name: str) -> set[str]:
    """Returns every package that a package imports, directly or through others."""
    found: set[str] = set()
    open_ends = [name]
    while open_ends:
        new = graph[open_ends.pop()] - found
        found |= new
        open_ends += new
    return found


def main() -> None:
    """Prints the diagram, or writes it into CONTRIBUTING.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", action="store_true", help="write it into CONTRIBUTING.md")
    drawn = diagram(package_graph())
    if not parser.parse_args().write:
        print(drawn, end="")
        return
    page = ROOT / "CONTRIBUTING.md"
    page.write_text(with_diagram(page.read_text(encoding="utf-8"), drawn), encoding="utf-8")


if __name__ == "__main__":
    main()
