"""Is in the wheel and in the source what belongs there, and nothing else? python scripts/package_content.py dist."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path, PurePosixPath

LARGEST = 3_000_000
ROOT = Path(__file__).parent.parent
# that the program cannot do without, and that are no Python files
DATA = (
    "cubeseg/py.typed",
    "cubeseg/spectroscopy/rest_lines.csv",
    "napari_cubeseg/py.typed",
    "napari_cubeseg/napari.yaml",
)
SUFFIXES = {".py", ".typed", ".csv", ".yaml", ".md"}
HELP = "napari_cubeseg/help/"


def check_wheel(path: Path) -> None:
    """The two packages as they are in src, pages of the docs, and their metadata."""
    names = [n for n in zipfile.ZipFile(path).namelist() if not n.endswith("/")]
    everything = {n for n in names if ".dist-info/" not in n}
    pages = {n.removeprefix(HELP) for n in everything if n.startswith(HELP)}
    inside = {n for n in everything if not n.startswith(HELP)}
    known = {
        str(PurePosixPath(p.relative_to(ROOT / "src")))
        for p in (ROOT / "src").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    _tell(path, "is missing", known - inside)
    _tell(path, "does not belong there", inside - known)
    _tell(path, "is missing", set(DATA) - inside)
    _tell(path, "is missing", {"index.md", "tutorials/painting.md", "shortcuts.md"} - pages)
    _tell(path, "is no page of the docs", {n for n in pages if not (ROOT / "docs" / n).is_file()})
    _tell(path, "is of a kind that does not belong there", {n for n in everything if Path(n).suffix not in SUFFIXES})
    _tell(path, "is missing", {"LICENSE"} - {Path(n).name for n in names})
    _size(path, len(names))


def check_source(path: Path) -> None:
    """Enough to build and to test."""
    with tarfile.open(path) as file:
        names = {n.partition("/")[2] for n in file.getnames()}
    wanted = {f"src/{n}" for n in DATA} | {
        "README.md", "LICENSE", "CHANGELOG.md", "CITATION.cff", "pyproject.toml", "PKG-INFO", "Makefile",
        "tests/conftest.py",
    }  # fmt: skip
    _tell(path, "is missing", wanted - names)
    foreign = {n for n in names if n.split("/")[0] in {".venv", "build", "dist", ".git", "benchmarks"}}
    foreign |= {n for n in names if Path(n).suffix in {".pyc", ".h5", ".fits", ".npz", ".png", ".log"}}
    _tell(path, "does not belong there", foreign)
    _size(path, len(names))


def _tell(path: Path, what: str, names: set[str]) -> None:
    if names:
        sys.exit(f"{path.name}: {', '.join(sorted(names)[:8])} {what}")


def _size(path: Path, n: int) -> None:
    size = path.stat().st_size
    if size > LARGEST:
        sys.exit(f"{path.name}: {size / 1e6:.1f} MB, more than {LARGEST / 1e6:g}")
    print(f"{path.name}: {size / 1000:.0f} kB, {n} files")


def main() -> None:
    """Check one wheel and one source."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "dist")
    wheels, sources = list(folder.glob("*.whl")), list(folder.glob("*.tar.gz"))
    if (len(wheels), len(sources)) != (1, 1):
        sys.exit(f"{folder}: one wheel and one source are expected, not {len(wheels)} and {len(sources)}")
    check_wheel(wheels[0])
    check_source(sources[0])


if __name__ == "__main__":
    main()
