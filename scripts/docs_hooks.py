"""Pages of the site that are made from the sources: the command line, from its parser; Python, from what is public."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

SOURCES = Path(__file__).parent.parent / "src"

# page: title, a sentence, and what is shown of which module ("*" = all that it exports)
API = {
    "files": (
        "Files and samples",
        "Cubes and results are opened with `cubeseg.open_cube` and `cubeseg.load`; this is what lies behind them.",
        {
            "cubeseg.io": (
                "reopen",
                "formats",
                "format_of",
                "reader",
                "ReadOptions",
                "ChoiceNeeded",
                "Candidate",
                "Setting",
                "Format",
            ),
            "cubeseg.samples": "*",
        },
    ),
    "editing": (
        "Work on classes",
        "Every function returns a step that is not done yet: `.do()` does it, `.undo()` takes it back.",
        {"cubeseg.editing": "*", "cubeseg.explain": "*", "cubeseg.metrics": "*"},
    ),
    "maps": (
        "Maps, lines and references",
        "Images of bands and lines, where lines lie, and libraries of spectra.",
        {
            "cubeseg.maps.windows": "*",
            "cubeseg.maps.images": "*",
            "cubeseg.maps.line_windows": "*",
            "cubeseg.spectroscopy.lines": "*",
            "cubeseg.references.library": "*",
            "cubeseg.references.matching": "*",
        },
    ),
    "exporting": ("Exports", "What the Export panel and `cubeseg export` write.", {"cubeseg.exporting": "*"}),
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages that are made (MkDocs calls this)."""
    from mkdocs.structure.files import File

    # MkDocs puts its own path back after it has loaded this file
    if str(SOURCES) not in sys.path:
        sys.path.insert(0, str(SOURCES))
    made = {"cli.md": cli_page(), "api/index.md": api_index()}
    made |= {f"api/{name}.md": api_page(*what) for name, what in API.items()}
    for path, text in made.items():
        files.append(File.generated(config, path, content=text))
    return files


def cli_page() -> str:
    """The command line as Markdown."""
    from cubeseg.cli import _parser

    parser = _parser()
    lines = [
        "# Command line",
        "",
        "`cubeseg` does without a window what the docks do. It returns 0 when all went well, 2 for bad input, 1 for a "
        "failure, each with one line on what is wrong. No file is left half written. Progress is shown on a terminal "
        "and left out in a pipe.",
        "",
    ]
    lines += _table([a for a in parser._actions if not isinstance(a, argparse._SubParsersAction)])
    for name, sub, what in commands(parser):
        if sub.add_help:
            lines += [f"## cubeseg {name}", "", f"{what[:1].upper()}{what[1:]}.", "", "```text", usage(sub), "```", ""]
            lines += _table(sub._actions)
    return "\n".join(lines)


def commands(parser: argparse.ArgumentParser) -> list[tuple[str, argparse.ArgumentParser, str]]:
    """Name, parser and one line of every command."""
    (all_,) = (a for a in parser._actions if isinstance(a, argparse._SubParsersAction))
    helps = {choice.dest: choice.help or "" for choice in all_._choices_actions}
    return [(name, sub, helps.get(name, "")) for name, sub in all_.choices.items()]


def usage(parser: argparse.ArgumentParser) -> str:
    """One command's usage, the same however wide the terminal is."""
    parser.formatter_class = lambda prog: argparse.HelpFormatter(prog, width=100)
    return parser.format_usage().removeprefix("usage: ").strip()


def _table(actions: list[argparse.Action]) -> list[str]:
    rows = ["| | |", "|---|---|"]
    for action in actions:
        name = ", ".join(action.option_strings) or action.dest
        value = action.metavar or (action.dest.upper() if action.option_strings and action.nargs != 0 else "")
        if action.choices and not isinstance(action.choices, dict):
            value = "{" + ",".join(map(str, action.choices)) + "}"
        shown = f"{name} {value}".strip() if action.option_strings else name
        text = (action.help or "").replace("%(default)s", str(action.default)).replace("|", "\\|")
        rows.append(f"| `{shown}` | {text} |")
    return [*rows, ""]


def api_index() -> str:
    """What ``import cubeseg`` gives."""
    import cubeseg

    lines = [
        "# Python",
        "",
        "What `import cubeseg` gives. The import takes milliseconds: heavy libraries are loaded when they are first "
        "used. What is named on these pages is public; what is not may change without notice.",
        "",
    ]
    first = ("open_cube", "segment", "fit", "refine", "apply", "load")
    for name in (*first, *(n for n in cubeseg.__all__ if n not in first)):
        lines += _shown(_home(cubeseg._WHERE[name], name), f"cubeseg.{name}", 2)
    return "\n".join(lines)


def api_page(title: str, text: str, modules: dict[str, Any]) -> str:
    """One page of public modules."""
    lines = [f"# {title}", "", text, ""]
    for module, names in modules.items():
        lines += [f"## {module}", ""]
        for name in exported(module) if names == "*" else names:
            lines += _shown(_home(module, name), f"{module}.{name}", 3)
    return "\n".join(lines)


def _shown(home: str, name: str, level: int) -> list[str]:
    """What is defined at `home`, under the name by which it is imported."""
    return [f"::: {home}", "    options:", f"      heading_level: {level}", f"      heading: {name}", ""]


def exported(module: str) -> list[str]:
    """The ``__all__`` of a module, read without importing it."""
    import ast

    for node in ast.parse(_source(module).read_text()).body:
        if isinstance(node, ast.Assign) and any(getattr(t, "id", "") == "__all__" for t in node.targets):
            return list(ast.literal_eval(node.value))
    return []


def _source(module: str) -> Path:
    base = SOURCES / module.replace(".", "/")
    return base / "__init__.py" if base.is_dir() else base.with_suffix(".py")


def _home(module: str, name: str) -> str:
    """Where something that a module exports is defined."""
    import ast

    for node in ast.walk(ast.parse(_source(module).read_text())):
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("cubeseg"):
            for alias in node.names:
                if (alias.asname or alias.name) == name:
                    return _home(node.module, alias.name)
    return f"{module}.{name}"
