"""Tries an installed napari-cubeseg: manifest, everything that it names, samples, a file written and read.

Runs in an environment that has the package and its dependencies, and nothing else; away from the sources.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
from importlib import import_module
from importlib.metadata import distribution
from pathlib import Path

NAME = "napari-cubeseg"


def manifest() -> None:
    """The manifest is valid, and what it names is there."""
    from npe2 import PluginManifest

    found = PluginManifest.from_distribution(NAME)
    assert found.package_version == distribution(NAME).version, found.package_version
    command = [sys.executable, "-m", "npe2", "validate", "napari_cubeseg"]
    said = subprocess.run(command, capture_output=True, text=True)
    if said.returncode:
        sys.exit(f"npe2 validate: {said.stdout}{said.stderr}")
    for contributed in found.contributions.commands or ():
        module, _, name = str(contributed.python_name).partition(":")
        getattr(import_module(module), name)
        print(f"  {contributed.python_name}")


def pages() -> None:
    """Help finds its pages where they were installed."""
    from napari_cubeseg import manual

    assert "site-packages" in str(manual.folder()), manual.folder()
    for name in manual.CONTENTS:
        assert manual.page(name).startswith("# "), name
    print(f"  {len(manual.CONTENTS)} pages of help")


def samples() -> None:
    """Both samples open as layers."""
    from napari.layers import Layer

    from napari_cubeseg import samples

    for make in (samples.painting, samples.galaxy):
        cube, truth = (Layer.create(*made) for made in make())
        print(f"  {make.__name__}: {cube.data.shape}, {int(truth.data.max())} classes")


def files() -> None:
    """A cube goes through the command line, and its result through the reader and the writer."""
    from napari_cubeseg.reader import get_reader
    from napari_cubeseg.writer import write_labels

    with tempfile.TemporaryDirectory() as folder:
        cube, result, copy = (Path(folder) / name for name in ("p.h5", "r.h5", "copy.h5"))
        command = Path(sys.executable).with_name("cubeseg")
        for arguments in (
            ("sample", "painting", "-o", cube, "--size", "24"),
            ("segment", cube, "-o", result, "--method", "pca", "--clusters", "4"),
        ):
            subprocess.run([command, *arguments], check=True)
        read = get_reader(str(result))
        assert read is not None
        data, keywords, kind = read(str(result))[-1]
        assert kind == "labels", kind
        (written,) = write_labels(str(copy), data, keywords)
        import cubeseg

        assert (cubeseg.load(written).labels == data).all()
        print(f"  {Path(written).name}: {int(data.max())} classes")


def main() -> None:
    """Try everything."""
    import cubeseg

    assert "site-packages" in cubeseg.__file__, cubeseg.__file__
    print(f"napari-cubeseg {cubeseg.__version__}")
    assert cubeseg.__version__ == distribution(NAME).version
    for part in (manifest, pages, samples, files):
        print(f"{part.__name__}:")
        part()
    print("The package works")


if __name__ == "__main__":
    main()
