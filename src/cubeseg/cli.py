"""The command ``cubeseg``: the same core without a window."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from cubeseg import __version__, commands
from cubeseg.errors import ConfigError, CubeSegError, JobError

__all__ = ["main"]


class _Parser(argparse.ArgumentParser):
    """Reports wrong usage in one line."""

    def error(self, message: str) -> Any:
        raise ConfigError(f"{message}; see '{self.prog} --help'")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line.

    Returns
    -------
    int
        0 on success, 2 for bad input, 1 for a failure.
    """
    arguments = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in arguments
    arguments = [a for a in arguments if a != "--debug"]
    try:
        options = _parser().parse_args(arguments)
        options.run(options)
    except CubeSegError as error:
        if debug:
            raise
        print(f"cubeseg: {error}", file=sys.stderr)
        return 1 if isinstance(error, JobError) else 2
    except KeyboardInterrupt:
        print("\ncubeseg: stopped, nothing was written", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()
        return 0
    except Exception as error:
        if debug:
            raise
        text = (str(error).splitlines() or [""])[0]
        print(f"cubeseg: unexpected {type(error).__name__}: {text}; run again with --debug", file=sys.stderr)
        return 1
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(prog="cubeseg", description="Deep clustering of spectral datacubes.")
    parser.add_argument("--version", action="version", version=f"cubeseg {__version__}")
    parser.add_argument("--debug", action="store_true", help="show the traceback of an error")
    known = parser.add_subparsers(metavar="COMMAND", required=True, parser_class=_Parser)

    info = known.add_parser("info", help="what a cube is: shape, axis, noise, masked pixels")
    info.add_argument("cube")
    info.add_argument("--json", action="store_true", help="for other programs")
    _which_data(info)
    info.set_defaults(run=commands.info)

    segment = known.add_parser("segment", help="cluster a cube into a result file")
    segment.add_argument(
        "cube", nargs="+", help="a cube; a series of cubes; or a result, to merge its classes down to --clusters N"
    )
    segment.add_argument(
        "-o",
        "--output",
        required=True,
        metavar="RESULT.h5",
        help="for several cubes, a folder: one result file for each, and summary.csv",
    )
    way = segment.add_mutually_exclusive_group()
    way.add_argument("--each", action="store_true", help="of several cubes: a model each (as with all but global)")
    way.add_argument("--first", action="store_true", help="one model: trained on the first cube, applied to the others")
    way.add_argument("--model", metavar="RESULT.h5", help="one model: that of a result, applied to all cubes")
    segment.add_argument(
        "--resume",
        action="store_true",
        help="into a folder: leave whole results of the same options and cubes as they are",
    )
    _force(segment)
    segment.add_argument(
        "--method",
        help="deep (default); global (learns from patches; for a series); unmix (components, abundances); pca (quick)",
    )
    segment.add_argument("--clusters", help="a number (8), or a range from which it is chosen (4:12)")
    segment.add_argument("--config", metavar="FILE.toml", help="options from a file; those given here win")
    segment.add_argument(
        "--preset", help="default; paper (as published, arXiv 2401.17695); paper-global (the losses of 2512.24172)"
    )
    segment.add_argument(
        "--way", metavar="WAY",
        help="of unmixing: gates (default), nmf, nmf-kl, ica, mcr-als, vca, n-findr, references",
    )  # fmt: skip
    segment.add_argument("--references", metavar="LIBRARY", help="known spectra: kept as they are by --method unmix")
    segment.add_argument("--epochs", type=int)
    segment.add_argument(
        "--option",
        action="append",
        default=[],
        metavar="NAME=VALUE",
        help="any other option of --config, e.g. latent=6",
    )
    segment.add_argument("--seed", type=int)
    segment.add_argument("--device", help="auto (default), cpu, cuda, mps")
    segment.add_argument("--noise", help="auto (default), poisson, gaussian")
    segment.add_argument("--coherence", metavar="X", help="0 = every pixel for itself, 1 = strong; auto (default)")
    segment.add_argument("--memory", help="peak that the run aims to keep to, e.g. 1GiB (default)")
    segment.add_argument(
        "--scheduler", metavar="ADDRESS", help="a running Dask scheduler whose workers read and label the cube"
    )
    segment.add_argument(
        "--hash", action="store_true", help="record the SHA-256 of the whole file, reading it once more"
    )
    _which_data(segment)
    segment.set_defaults(run=commands.segment)

    score = known.add_parser("score", help="compare a result with a truth")
    score.add_argument("result")
    score.add_argument("truth", help=".npy, .mat, .tif, .png or .h5; 0 = not labelled")
    score.add_argument("--json", action="store_true", help="for other programs")
    score.set_defaults(run=commands.score)

    export = known.add_parser("export", help="write a result in other formats")
    export.add_argument("result")
    export.add_argument("-o", "--output", required=True, metavar="DIR")
    export.add_argument("--format", default="tiff,png,csv,hdf5", metavar="A,B,...", help=_formats())
    export.add_argument("--cube", metavar="CUBE", help="the cube that was segmented: for percentiles and the overlay")
    _force(export)
    export.set_defaults(run=commands.export)
    report = known.add_parser("report", help="write a page with maps, classes, spectra and where they come from")
    report.add_argument("result")
    report.add_argument("-o", "--output", required=True, metavar="REPORT.html")
    _force(report)
    report.set_defaults(run=commands.report)

    refine = known.add_parser("refine", help="learn from painted pixels")
    refine.add_argument("result")
    refine.add_argument("--corrections", metavar="LABELS", help="label image of the painted pixels, 0 = not painted")
    refine.add_argument("--cube", help="the cube that was segmented, where it has been moved")
    refine.add_argument("-o", "--output", required=True, metavar="NEW.h5")
    refine.add_argument("--epochs", type=int, help="of further training of the encoder (default: 0)")
    refine.add_argument("--seed", type=int)
    _force(refine)
    refine.set_defaults(run=commands.refine)

    apply = known.add_parser("apply", help="find the classes of a result in another cube")
    apply.add_argument("result")
    apply.add_argument("cube")
    apply.add_argument("-o", "--output", required=True, metavar="OTHER.h5")
    _force(apply)
    _which_data(apply)
    apply.set_defaults(run=commands.apply)

    sample = known.add_parser("sample", help="make a synthetic cube with its truth")
    sample.add_argument("name", choices=("painting", "galaxy", "leaf"))
    sample.add_argument("-o", "--output", required=True, metavar="CUBE.h5")
    sample.add_argument("--size", type=int, help="height and width in pixels")
    sample.add_argument("--counts", type=float, help="mean counts per pixel (painting, galaxy)")
    sample.add_argument("--seed", type=int, default=0)
    sample.add_argument(
        "--tier", type=int, choices=(1, 2, 3), help="1 easy, 2 usual (default), 3 hard (painting, galaxy)"
    )
    sample.add_argument("--day", type=int, help="0 healthy; lesions appear and grow; default 5 (leaf)")
    _force(sample)
    sample.set_defaults(run=commands.sample)

    replay = known.add_parser("replay", help="train again from the record, do all corrections again, and compare")
    replay.add_argument("result")
    replay.add_argument("cube", help="the cube that was segmented")
    replay.add_argument("-o", "--output", metavar="AGAIN.h5", help="keep what was made again")
    _force(replay)
    replay.add_argument("--hash", action="store_true", help="compare all bytes of the cube's file, whatever its size")
    replay.add_argument("--json", action="store_true", help="for other programs")
    replay.set_defaults(run=commands.replay)
    return parser


def _force(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--force", action="store_true", help="replace files that are there already")


def _which_data(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--dataset", metavar="NAME", help="for files that hold several")
    parser.add_argument("--spectral-axis", type=int, metavar="N", help="index of the spectral axis as stored")
    parser.add_argument(
        "--axis", default="", metavar="TEXT", help="calibrate: '-0.96,0.01 keV', '640=Fe,1744=Mo', 'nm'"
    )
    parser.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="a setting of the format, e.g. downsample=2"
    )


def _formats() -> str:
    return (
        "comma-separated: tiff, png, envi (label images); figure, figure-svg, figure-pdf, overlay (pictures); fits; "
        "geojson, svg, ds9 (outlines); csv, ecsv, classes (tables); hdf5 (everything), nexus, zarr; report; "
        "abundances, components (after unmixing); "
        "default %(default)s"
    )


if __name__ == "__main__":
    sys.exit(main())
