"""The pages that Help shows, and the list of keys."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from cubeseg.errors import DataError
from napari_cubeseg import manual
from napari_cubeseg.keys import KEYS, table

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SOURCES = ROOT / "src" / "napari_cubeseg"


def shipped():
    """Where the wheel takes its pages from."""
    found = tomllib.loads((ROOT / "pyproject.toml").read_text())
    pages = found["tool"]["hatch"]["build"]["targets"]["wheel"]["force-include"]
    return {place for place, target in pages.items() if target == f"napari_cubeseg/help/{place.removeprefix('docs/')}"}


def is_shipped(page):
    return any(f"docs/{page}" == place or f"docs/{page}".startswith(place + "/") for place in shipped())


def anchors(page):
    return {manual.heading(line.lstrip("# ")) for line in manual.page(page).splitlines() if line.startswith("#")}


def test_every_page_comes_without_what_only_the_site_understands():
    for file in DOCS.rglob("*.md"):
        text = manual.page(file.relative_to(DOCS).as_posix())
        bare = re.sub(r"^```.*?^```|`[^`\n]+`", "", text, flags=re.DOTALL | re.MULTILINE)
        assert not re.search(r"^(\?\?\?|!!!|:::)|--8<--|\{[:#.]|^---$", bare, re.MULTILINE), file.name
        assert "```{" not in text.replace(" ", "")
        assert "mermaid" not in text


def test_the_syntax_of_the_site_becomes_plain(tmp_path, monkeypatch):
    (tmp_path / "index.md").write_text(
        "---\ntitle: x\n---\n# A page { #a .b }\n\n"
        '!!! warning "Mind"\n    Two lines\n    of it.\n\n'
        "!!! note\n    Short.\n\n"
        "``` { .python .annotate }\nx = {1: 2}\n```\n\n"
        "::: cubeseg.io\n    options:\n      a: b\n\n"
        "See `{ .css }`.\n\n![A cat](cat.png){ width=300 }\n![A dog](dog.png)\n"
        '--8<-- "more.py"\n'
    )
    (tmp_path / "more.py").write_text("y = 3\n")
    (tmp_path / "dog.png").write_bytes(b"")
    monkeypatch.setattr(manual, "_PLACES", (tmp_path,))
    assert manual.page("index.md") == (
        "# A page\n\n**Mind**\n\nTwo lines\nof it.\n\n**Note**\n\nShort.\n\n```python\nx = {1: 2}\n```\n\n"
        "*From the sources: it is on the site.*\n\nSee `{ .css }`.\n\n*Picture: A cat.*\n"
        "![A dog](dog.png)\ny = 3\n"
    )
    assert manual.page("more.py") == "# more.py\n\n```python\ny = 3\n```\n"
    assert manual.title("index.md").startswith("A page")


def test_a_page_that_is_not_here_is_told(monkeypatch, tmp_path):
    for name in ("cli.md", "nothing.md", "images/painting-open.png", "../pyproject.toml"):
        with pytest.raises(DataError, match="not on this computer"):
            manual.page(name)
    monkeypatch.setattr(manual, "_PLACES", (tmp_path,))
    with pytest.raises(DataError, match="not installed"):
        manual.page("index.md")


def test_links_are_followed_from_the_page_that_they_are_on():
    assert manual.resolve("../formats.md#fits-in-particular", "tutorials/galaxy.md") == (
        "formats.md",
        "fits-in-particular",
    )
    assert manual.resolve("refine.md", "howto/correct.md") == ("howto/refine.md", "")
    assert manual.resolve("#classes", "workbench.md") == ("workbench.md", "classes")
    assert manual.resolve("https://arxiv.org/abs/1", "index.md") == ("", "")
    assert manual.resolve("mailto:a@b.c", "index.md") == ("", "")


def test_what_the_panels_refer_to_is_there_and_in_the_wheel():
    named = {
        found
        for file in SOURCES.rglob("*.py")
        for found in re.findall(r'"((?:[\w-]+/)?[\w-]+\.md(?:#[\w-]+)?)"', file.read_text())
    }
    assert len(named) > 15
    for name in named:
        page, _, anchor = name.partition("#")
        assert is_shipped(page), page
        assert not anchor or anchor in anchors(page), name


def test_what_is_listed_is_there():
    assert all(is_shipped(name) and manual.title(name) != name for name in manual.CONTENTS)
    for name in shipped():
        assert (ROOT / name).exists(), name


def test_links_on_the_pages_lead_to_headings():
    for name in manual.CONTENTS:
        bare = re.sub(r"^```.*?^```", "", manual.page(name), flags=re.DOTALL | re.MULTILINE)
        for link in re.findall(r"\]\(([^)\s]+\.md#[^)\s]+)\)", bare):
            page, anchor = manual.resolve(link, name)
            assert anchor in anchors(page), f"{name}: {link}"


def test_the_page_of_keys_is_that_of_the_program():
    assert table() in (DOCS / "shortcuts.md").read_text(encoding="utf-8"), "copy it from napari_cubeseg.keys.table()"
    assert len({key.keys for key in KEYS.values()}) == len(KEYS)


def test_the_keys_that_napari_has_on_labels_are_left_alone():
    from napari.utils.shortcuts import default_shortcuts

    taken = {str(key) for name, keys in default_shortcuts.items() for key in keys if "label" in name}
    assert "M" in taken
    # undo and redo are meant for both
    assert not {key.keys for key in KEYS.values() if key.name not in ("undo", "redo")} & taken
