"""Damaged files in every format: each gives a cube or one line of DataError within ten seconds, whatever was damaged.

Configurations (TOML) are damaged too and give one line of ConfigError; result files are opened by cubeseg.load, and
changed inside as well (tests/cubeseg/tampering.py): --formats result --cases 2000 runs them alone.

    python scripts/fuzz.py [--cases 10000] [--seed 0] [--formats a.h5 b.bcf ...] [--keep FOLDER]

Healthy files are written by the tests' own helpers; small real ones are added where CUBESEG_DATA holds them. The cases
run in child processes, so that a crash of a C library is one finding and not the end. Seconds are those of the
processor, which other programs do not lengthen; a case that takes five minutes by the clock has hung. A cube may take
longer than a refusal (some formats are unpacked when they are opened), and is only reported. A damaged configuration
(TOML) is taken or refused by one line of ConfigError.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CUBESEG_DATA", ROOT.parent / "shared" / "data"))

# seconds in which a file is refused, bytes that opening one may take, seconds after which a case has hung
_REFUSED, _MEMORY, _HUNG = 10.0, 3 << 30, 300.0
_LARGEST = 8 << 20

# every kind of value that a configuration holds
_CONFIGURATION = """
method = "deep"
clusters = "4:12"
epochs = 20
memory = "1GiB"
learning_rate = 1e-3
coherence = "auto"
linear = true
gamma = { low = 0.0, high = 0.05, start = 0.4, end = 0.7 }
[beta]
high = 0.5
[mixing]
way = "gates"
restarts = 3
known = [{ name = "white", values = [0.0, 1.5, nan, 2] }]
"""

# runs cases first..last-1 on one file; tells of each case before and after it
_CHILD = """
import json, random, resource, shutil, sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
from cubeseg import FitConfig
from cubeseg.errors import ConfigError, DataError
from cubeseg.bundle import load
from cubeseg.io import ChoiceNeeded, open_cube
original, folder, keep, limits = Path(sys.argv[1]), Path(sys.argv[2]), sys.argv[3], json.loads(sys.argv[4])
first, last, seed = map(int, sys.argv[5:])
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
healthy = original.read_bytes()
for beside in original.parent.glob(original.name.split(".")[0] + "*"):
    if beside.is_file() and beside.stat().st_size < 4 << 20:
        shutil.copy(beside, folder / beside.name)

def most():
    return 1024 * max(resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

def spent():
    return sum(sum(resource.getrusage(who)[:2]) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))

def look(path):
    if path.name.startswith("result-"):
        result = load(path)
        return result.table(), result.components, result.n_clusters, result.held, result.copy()
    if path.suffix == ".toml":
        FitConfig.from_toml(path)
        return
    try:
        cube = open_cube(path)
    except ChoiceNeeded as question:
        if not question.candidates:
            raise
        first = question.candidates[0]
        axis = 0 if first.spectral_axis is None else first.spectral_axis
        cube = open_cube(path, dataset=first.dataset or None, spectral_axis=axis)
    np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])

for case in range(first, last):
    print(json.dumps({"begin": case}), flush=True)
    rng = random.Random(f"{original.name} {seed} {case}")
    content = bytearray(healthy)
    path = folder / original.name
    if path.name.startswith("result-"):
        from tests.cubeseg.tampering import tampered
        tampered(healthy, path, rng)
        content = bytearray(path.read_bytes())
    for _ in range(0 if path.name.startswith("result-") else rng.randint(1, 6)):
        end = rng.choice([min(600, len(content)), len(content)])
        at = rng.randrange(end)
        kind = rng.random()
        if kind < 0.5:
            content[at] = rng.randrange(256)
        elif kind < 0.7:
            content[at : at + 8] = rng.choice([bytes(8), b"\\xff" * 8, b"\\x7f" + b"\\xff" * 7, b"99999999"])
        elif kind < 0.9:
            del content[at : at + rng.randint(1, 400)]
        else:
            del content[at:]
        if not content:
            break
    path.write_bytes(bytes(content))
    end, start, before = "cube", spent(), most()
    try:
        look(path)
    except (DataError, ConfigError) as error:
        end = "refused" if "\\n" not in str(error) else f"BAD more than one line: {error!r}"
    except BaseException as error:
        end = f"BAD {type(error).__name__}: {error}"
    seconds, after = spent() - start, most()
    word, _, bad = end.partition(" ")
    if word == "refused" and seconds > limits["refused"]:
        bad = f"took {seconds:.1f} s to be refused"
    if after > max(limits["memory"], before):
        bad = f"took {after / 2**30:.1f} GiB of memory"
    if bad and keep:
        (Path(keep) / f"{case}-{original.name}").write_bytes(content)
    print(json.dumps({"word": word, "seconds": seconds, "bad": bad[:300]}), flush=True)
"""


def originals(folder: Path) -> list[Path]:
    """Healthy files: written ones, and the smallest real one of each kind of name."""
    sys.path.insert(0, str(ROOT))
    from tests.cubeseg.io.test_crono import crono
    from tests.cubeseg.io.test_interferometer import hypercube
    from tests.cubeseg.io.test_mda import mda
    from tests.cubeseg.io.written import CUBE, healthy_files
    from tests.cubeseg.test_tampered import made as result_file

    configuration = folder / "y.toml"
    configuration.write_text(_CONFIGURATION)
    found = [result_file(method, folder / f"result-{method}.h5") for method in ("pca", "unmix", "deep")]
    found += [*healthy_files(folder), configuration]
    found += [crono(folder / "t.hdf5"), mda(folder / "u.mda"), hypercube(folder / "v.h5")]
    if find_spec("fabio"):
        from tests.cubeseg.io.test_edf import ROWS, write

        found.append(write(folder / "w.edf", ROWS))
    if find_spec("zarr"):
        import zarr
        from tests.cubeseg.io.test_zarr import put, zipped

        put(zarr.open_group(folder / "x.zarr", mode="w"), "img", CUBE.astype("u2"))
        found.append(zipped(folder / "x.zarr", folder / "x.zarr.zip"))
        shutil.rmtree(folder / "x.zarr")
    endings = {
        ".bcf", ".emd", ".pts", ".wdf", ".dm3", ".spx", ".fits", ".mat", ".h5", ".ptir", ".map", ".fsm", ".mda", ".dms",
    }  # fmt: skip
    real = [path for path in DATA.rglob("*") if path.is_file()] if DATA.is_dir() else []
    for path in sorted(real, key=lambda p: ("_derived" in str(p), p.stat().st_size, p)):
        if path.suffix.lower() in endings and 2000 < path.stat().st_size < _LARGEST:
            endings.discard(path.suffix.lower())
            found.append(path)
    return found


def run(original: Path, cases: int, seed: int, keep: Path | None) -> Iterator[tuple[str, float, str]]:
    """What came of each case (one word), in how many seconds, and what should not have happened, if anything."""
    case, limits = 0, json.dumps({"refused": _REFUSED, "memory": _MEMORY})
    while case < cases:
        with tempfile.TemporaryDirectory() as folder:
            told = [original, folder, keep or "", limits, case, cases, seed]
            child = subprocess.Popen(
                [sys.executable, "-c", _CHILD, *map(str, told)],
                cwd=ROOT,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
            assert child.stdout is not None
            os.set_blocking(child.stdout.fileno(), False)
            pending, last, text = None, time.monotonic(), b""
            while True:
                ended = child.poll() is not None
                text += child.stdout.read() or b""
                *lines, text = text.split(b"\n")
                for line in lines:
                    last = time.monotonic()
                    said = json.loads(line)
                    if "begin" in said:
                        pending = said["begin"]
                        continue
                    finding = f"{original.name} case {pending}: {said['bad']}" if said["bad"] else ""
                    yield said["word"], said["seconds"], finding
                    case, pending = (pending or 0) + 1, None
                if ended:
                    break
                if time.monotonic() - last > _HUNG:
                    child.kill()
                    child.wait()
                    break
                time.sleep(0.01)
            if pending is not None:
                what = "hung" if child.returncode == -9 else f"crashed with {child.returncode}"
                if keep:
                    shutil.copy(Path(folder) / original.name, keep / f"{pending}-{original.name}")
                yield what.split(" ")[0], time.monotonic() - last, f"{original.name} case {pending}: {what}"
                case = pending + 1
            elif case < cases:
                yield "failed", 0.0, f"{original.name}: the child ended with {child.returncode} before it began"
                return


def main() -> int:
    """Run, print, and say by the exit status whether anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="over all files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", help="only files whose names contain one of these")
    parser.add_argument("--keep", type=Path, help="folder for the files that went wrong")
    options = parser.parse_args()
    if options.keep:
        options.keep.mkdir(parents=True, exist_ok=True)
    findings, total = 0, Counter[str]()
    with tempfile.TemporaryDirectory() as folder:
        files = originals(Path(folder))
        if options.formats:
            files = [f for f in files if any(part in f.name for part in options.formats)]
        for original in files:
            start, counts, slowest = time.monotonic(), Counter[str](), 0.0
            for word, seconds, finding in run(original, -(-options.cases // len(files)), options.seed, options.keep):
                counts[word] += 1
                slowest = max(slowest, seconds)
                if finding:
                    findings += 1
                    print("   ", finding, flush=True)
            total += counts
            took = time.monotonic() - start
            print(f"{original.name:32} {dict(counts)} {took:.0f} s, slowest {slowest:.1f} s", flush=True)
    print(f"{sum(total.values())} cases over {len(files)} files: {dict(total)}, {findings} findings")
    return 1 if findings else 0


if __name__ == "__main__":
    sys.exit(main())
