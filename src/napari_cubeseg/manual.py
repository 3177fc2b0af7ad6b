"""The pages of the docs on this computer: found, and made readable for Qt's Markdown. No Qt."""

from __future__ import annotations

import re
import textwrap
from pathlib import Path, PurePosixPath

from cubeseg.errors import DataError

__all__ = ["CONTENTS", "folder", "heading", "page", "resolve", "title"]

CONTENTS = (
    "index.md",
    "tutorials/painting.md",
    "tutorials/galaxy.md",
    "howto/calibrate.md",
    "howto/correct.md",
    "howto/refine.md",
    "howto/apply.md",
    "howto/unmix.md",
    "howto/export.md",
    "howto/report.md",
    "howto/series.md",
    "howto/large-cubes.md",
    "howto/scripting.md",
    "workbench.md",
    "shortcuts.md",
    "words.md",
    "how-it-works.md",
    "formats.md",
    "result-file.md",
    "troubleshooting.md",
)
"""The pages that are listed, in the order of the site; others are reached by links."""

_HERE = Path(__file__).parent
# in the wheel; in the sources
_PLACES = (_HERE / "help", _HERE.parents[1] / "docs")

_BOX = re.compile(r"^(?:\?\?\?\+?|!!!)\s+(\w+)(?:\s+\"([^\"]*)\")?[ \t]*\n((?:(?:[ ]{4}.*)?\n)+)", re.MULTILINE)
_INCLUDE = re.compile(r"^[ \t]*--8<--[ \t]+\"([^\"]+)\"[ \t]*\n?", re.MULTILINE)
_FENCE = re.compile(r"^(`{3,})[ \t]*\{[ \t]*\.(\w+)[^}]*\}[ \t]*$", re.MULTILINE)
_DIAGRAM = re.compile(r"^```mermaid\n.*?^```[ \t]*\n", re.MULTILINE | re.DOTALL)
_FROM_SOURCES = re.compile(r"^::: .*\n(?:[ ]{4}.*\n)*", re.MULTILINE)
_ATTRIBUTES = re.compile(r"[ \t]*\{:?[ \t]*(?:[#.][\w-]+|[\w-]+=[^\s}]+)(?:[ \t]+[^\s}]+)*[ \t]*\}")
_FRONT = re.compile(r"\A---\n.*?\n---\n", re.DOTALL)
_CODE = re.compile(r"(^```.*?^```[ \t]*$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
_PICTURE = re.compile(r"!\[([^\]]*)\]\(([^)\s]+)\)")


def folder() -> Path:
    """Where the pages are.

    Raises
    ------
    DataError
        If they were not installed.
    """
    for place in _PLACES:
        if (place / "index.md").is_file():
            return place
    raise DataError("the pages of help are not installed; install napari-cubeseg again")


def page(name: str) -> str:
    """A page as plain Markdown.

    Parameters
    ----------
    name : str
        Path below :func:`folder`, with "/"; a Python example comes as a block of code.

    Raises
    ------
    DataError
        If there is no such page.
    """
    file = folder() / name
    if not file.is_file() or file.suffix not in (".md", ".py"):
        raise DataError(f"'{name}' is a page of the site, or of the repository; it is not on this computer")
    text = file.read_text(encoding="utf-8")
    if file.suffix == ".py":
        return f"# {file.name}\n\n```python\n{text}```\n"
    return _plain(text, file.parent)


def title(name: str) -> str:
    """The heading of a page."""
    file = folder() / name
    lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
    return next((line[2:].strip() for line in lines if line.startswith("# ")), name)


def resolve(link: str, from_page: str) -> tuple[str, str]:
    """Page and anchor that a link on a page leads to.

    Returns
    -------
    tuple of str
        The page, empty for one that is elsewhere (the link has a scheme); the anchor, empty for the beginning.
    """
    target, _, anchor = link.partition("#")
    if re.match(r"[a-zA-Z][\w+.-]*:", target):
        return "", ""
    if not target:
        return from_page, anchor
    parts: list[str] = []
    for part in (PurePosixPath(from_page).parent / target).parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in ("..", "."):
            parts.append(part)
    return "/".join(parts), anchor


def heading(text: str) -> str:
    """The anchor of a heading, as the site makes it."""
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text.lower())).strip("-")


def _plain(text: str, beside: Path) -> str:
    """Without what only the site's generator understands."""
    text = _FRONT.sub("", text)
    text = _INCLUDE.sub(lambda found: _included(found[1]), _BOX.sub(_boxed, text))
    text = _FENCE.sub(r"\1\2", text)
    text = _DIAGRAM.sub("*A diagram: it is on the site.*\n", text)
    text = _FROM_SOURCES.sub("*From the sources: it is on the site.*\n", text)
    # code stays as it is
    parts = _CODE.split(text)
    for place in range(0, len(parts), 2):
        bare = _ATTRIBUTES.sub("", parts[place])
        parts[place] = _PICTURE.sub(lambda found: _pictured(found, beside), bare)
    return "".join(parts)


def _boxed(found: re.Match[str]) -> str:
    """A note in a box becomes a bold line and its text."""
    inside = _INCLUDE.sub(lambda one: _included(one[1]), textwrap.dedent(found[3]).strip("\n") + "\n")
    return f"**{found[2] or found[1].capitalize()}**\n\n{inside}\n"


def _included(name: str) -> str:
    for place in (folder(), folder().parent):
        file = place / name
        if file.is_file():
            return file.read_text(encoding="utf-8").rstrip("\n") + "\n"
    return f"({name} is in the repository.)\n"


def _pictured(found: re.Match[str], beside: Path) -> str:
    """A picture that was not installed becomes what it shows."""
    if (beside / found[2]).is_file():
        return found[0]
    return f"*Picture: {found[1]}.*"
