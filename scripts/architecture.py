"""The picture in docs/architecture.md, from the imports themselves and the layers in pyproject.toml: make architecture.

Boxes are the modules and folders of `cubeseg`, and the parts of the viewer; an arrow means that one imports the other.
Arrows that follow from others are left out. Below it, the layers that import-linter holds.
"""

from __future__ import annotations

import tomllib
from pathlib import Path

ROOT = Path(__file__).parent.parent
PAGE = ROOT / "docs" / "architecture.md"
BEGIN, END = "<!-- picture -->\n", "<!-- end of picture -->\n"
# part of the viewer: what it is
VIEWER = {
    "panels": "panels and docks: napari_cubeseg.qt",
    "manifest": "what napari calls: reader, writer",
    "state": "the viewer's state, without Qt: Session and its parts",
}
_MANIFEST = ("reader", "writer")


def layers() -> list[list[str]]:
    """The layers of `cubeseg` from top to bottom, as pyproject.toml has them."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if "layers" in c)
    return [[name.strip() for name in line.split("|")] for line in contract["layers"]]


def conveniences() -> set[tuple[str, str]]:
    """Imports inside functions that pyproject.toml allows against the direction."""
    settings = tomllib.loads((ROOT / "pyproject.toml").read_text())
    (contract,) = (c for c in settings["tool"]["importlinter"]["contracts"] if "layers" in c)
    pairs = (text.split(" -> ") for text in contract["ignore_imports"])
    return {(_box(a), _box(b)) for a, b in pairs}


def imports() -> set[tuple[str, str]]:
    """Which box imports which."""
    import grimp

    graph = grimp.build_graph("cubeseg", "napari_cubeseg", cache_dir=None)
    found = set()
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            pair = _box(module), _box(other)
            if all(pair) and pair[0] != pair[1]:
                found.add(pair)
    return found - conveniences()


def _box(module: str) -> str:
    """The box that a module is in; "" for the packages themselves, which only hand on names."""
    package, _, rest = module.partition(".")
    first = rest.partition(".")[0]
    if package == "cubeseg":
        return "" if first in ("", "__main__") else first
    if not first:
        return ""
    return "panels" if first == "qt" else "manifest" if first in _MANIFEST else "state"


def reduced(pairs: set[tuple[str, str]]) -> set[tuple[str, str]]:
    """Without the arrows that follow from others."""
    onward: dict[str, set[str]] = {}
    for a, b in pairs:
        onward.setdefault(a, set()).add(b)

    def reaches(a: str, b: str, seen: set[str]) -> bool:
        return any(c == b or reaches(c, b, seen | {c}) for c in onward.get(a, set()) - seen)

    return {(a, b) for a, b in pairs if not any(reaches(c, b, {a}) for c in onward[a] - {b})}


def picture() -> str:
    """The picture as Mermaid."""
    lines = ["```mermaid", "flowchart TB", '  subgraph viewer["napari_cubeseg: the viewer"]']
    lines += [f'    {name}["{text}"]' for name, text in VIEWER.items()]
    lines += ["  end", '  subgraph science["cubeseg: the science, without Qt and napari"]']
    lines += [f"    {name}" for names in layers() for name in names]
    lines += ["  end"]
    lines += [f"  {a} --> {b}" for a, b in sorted(reduced(imports()))]
    order = "\n".join(f"{n}. {', '.join(f'`{name}`' for name in names)}" for n, names in enumerate(layers(), 1))
    return "\n".join([*lines, "```", "", "The layers from top to bottom:", "", order, ""])


def main() -> None:
    """Write it into the page."""
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}{picture()}{END}{after}")


if __name__ == "__main__":
    main()
