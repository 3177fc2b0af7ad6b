"""What the docs say holds: commands, links, names of formats, and the picture of the architecture."""

from __future__ import annotations

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"
PAGES = sorted([ROOT / "README.md", ROOT / "CONTRIBUTING.md", *DOCS.rglob("*.md")])


def script(name):
    """A script as a module."""
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def commands(page):
    """All lines in which a page calls cubeseg."""
    blocks = re.findall(r"```sh\n(.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.replace("\\\n", " ").splitlines()]
    return [line for line in lines if line.startswith("cubeseg ")]


def mentions(page):
    """Commands in running text, which may be parts of them."""
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    return re.findall(r"`cubeseg (\w+)\s*([^`]*)`", text)


def test_commands_are_understood():
    from cubeseg.cli import _parser
    from cubeseg.config import FitConfig
    from cubeseg.exporting import FORMATS

    parser, seen = _parser(), set()
    for page in PAGES:
        for line in commands(page):
            words = shlex.split(line, comments=True)[1:]
            options = parser.parse_args(words)
            seen.add(words[0])
            if words[0] == "export":
                assert set(options.format.split(",")) <= set(FORMATS), line
            if words[0] == "segment":
                names = ("preset", "method", "clusters", "epochs", "seed", "device", "noise", "coherence", "memory")
                given = {n: getattr(options, n) for n in names if getattr(options, n) is not None}
                FitConfig.from_mapping(given)
    assert seen == {"info", "segment", "score", "export", "report", "refine", "apply", "sample", "replay"}


def test_commands_that_are_mentioned_have_these_options():
    from cubeseg.cli import _parser

    known = {name: parser for name, parser, _ in script("docs_hooks").commands(_parser())}
    found = 0
    for page in PAGES:
        for name, rest in mentions(page):
            there = {option for action in known[name]._actions for option in action.option_strings}
            assert set(re.findall(r"--[\w-]+", rest)) <= there, f"{page.name}: cubeseg {name} {rest}"
            found += 1
    assert found > 10


def test_a_wrong_command_would_be_found():
    from cubeseg.cli import _parser
    from cubeseg.errors import ConfigError

    with pytest.raises(ConfigError):
        _parser().parse_args(["segment", "a.h5", "--output-file", "b.h5"])


def test_links_lead_somewhere():
    made = {"cli.md"} | {f"api/{name}.md" for name in ("index", *script("docs_hooks").API)}
    for page in PAGES:
        text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", text):
            if "://" in target or (target.endswith(".png") and not (DOCS / "images").exists()):
                continue
            path = (page.parent / target).resolve()
            inside = path.relative_to(DOCS).as_posix() if path.is_relative_to(DOCS) else ""
            assert path.exists() or inside in made, f"{page.name}: {target}"


def test_every_page_is_in_the_navigation():
    said = set(re.findall(r"[\w/-]+\.md", (ROOT / "mkdocs.yml").read_text().partition("nav:")[2]))
    there = {p.relative_to(DOCS).as_posix() for p in DOCS.rglob("*.md")}
    made = {"cli.md"} | {f"api/{name}.md" for name in ("index", *script("docs_hooks").API)}
    assert said == there | made


def test_every_export_is_told():
    from cubeseg.exporting import FORMATS

    page = (DOCS / "howto" / "export.md").read_text()
    assert [name for name in FORMATS if f"`{name}`" not in page] == []


def test_pictures_are_small_and_used():
    if not (DOCS / "images").exists():
        pytest.skip("the pictures are in the repository, not in the source package")
    used = {name for page in PAGES for name in re.findall(r"images/([\w-]+\.png)", page.read_text(encoding="utf-8"))}
    there = {p.name: p.stat().st_size for p in (DOCS / "images").glob("*.png")}
    assert used == set(there)
    assert max(there.values()) < 250_000


def test_what_is_public_is_there():
    hooks = script("docs_hooks")
    for _, _, modules in hooks.API.values():
        for module, names in modules.items():
            there = __import__(module, fromlist=["x"])
            for name in hooks.exported(module) if names == "*" else names:
                assert hasattr(there, name), f"{module}.{name}"


def test_the_command_line_page_has_every_option():
    from cubeseg.cli import _parser

    page = script("docs_hooks").cli_page()
    for name, parser, _ in script("docs_hooks").commands(_parser()):
        if parser.add_help:
            assert f"## cubeseg {name}" in page
            for action in parser._actions:
                assert all(option in page for option in action.option_strings)


def test_the_picture_of_the_architecture_is_that_of_the_imports():
    pytest.importorskip("grimp")
    architecture = script("architecture")
    text = architecture.PAGE.read_text()
    shown = text.partition(architecture.BEGIN)[2].partition(architecture.END)[0]
    assert shown == architecture.picture(), "run make architecture"
    arrows = {tuple(pair) for pair in re.findall(r"^  (\w+) --> (\w+)$", shown, re.MULTILINE)}
    rank = {name: n for n, names in enumerate(architecture.layers()) for name in names}
    for above, below in arrows:
        if above in rank:
            assert rank[above] < rank[below], f"{above} --> {below}"
    # the reduction leaves out nothing that does not follow from what is shown
    reach = set(arrows)
    while True:
        more = {(a, d) for a, b in reach for c, d in reach if b == c} - reach
        if not more:
            break
        reach |= more
    assert architecture.imports() <= reach


def test_every_module_is_in_the_picture():
    architecture = script("architecture")
    there = {
        p.stem if p.is_file() else p.name
        for p in (ROOT / "src" / "cubeseg").iterdir()
        if (p.suffix == ".py" and p.stem[0] != "_") or (p / "__init__.py").exists()
    }
    assert {name for names in architecture.layers() for name in names} == there


def test_the_citation_is_whole():
    yaml = pytest.importorskip("yaml")
    cited = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert cited["cff-version"] == "1.2.0"
    assert all(cited[key] for key in ("message", "title", "authors", "license", "version", "date-released"))
    for reference in cited["references"]:
        assert all(reference[key] for key in ("type", "title", "authors"))
    told = {i["value"].partition(":")[2] for r in cited["references"] for i in r["identifiers"]}
    assert told == {"2401.17695", "2512.24172", "2507.23600"}
    assert all(number in (ROOT / "README.md").read_text(encoding="utf-8") for number in told)


def test_the_version_is_that_of_the_installed_package():
    from importlib.metadata import version

    import cubeseg

    assert cubeseg.__version__ == version("napari-cubeseg")
    with pytest.raises(AttributeError):
        cubeseg.__nothing__  # noqa: B018
