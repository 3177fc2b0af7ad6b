"""Damaged files in every format: each gives a cube or one line of DataError within ten seconds, whatever was damaged.

    python scripts/fuzz.py [--cases 10000] [--seed 0] [--formats a.h5 b.bcf ...]

Healthy files are written by the tests' own helpers; small real ones are added where CUBESEG_DATA holds them. The cases
run in child processes, so that a crash of a C library is one finding and not the end.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("CUBESEG_DATA", ROOT.parent / "shared" / "data"))

# runs cases first..last-1 on one file; tells of each case before and after it
_CHILD = """
import json, random, resource, shutil, sys, warnings
from pathlib import Path
import numpy as np
warnings.simplefilter("ignore")
from cubeseg.errors import ConfigError, DataError
from cubeseg.io import open_cube
original, folder, first, last, seed = Path(sys.argv[1]), Path(sys.argv[2]), *map(int, sys.argv[3:6])
resource.setrlimit(resource.RLIMIT_AS, (12 << 30, 12 << 30))
healthy = original.read_bytes()
for beside in original.parent.glob(original.name.split(".")[0] + "*"):
    if beside.is_file() and beside.stat().st_size < 4 << 20:
        shutil.copy(beside, folder / beside.name)
for case in range(first, last):
    print(json.dumps({"begin": case}), flush=True)
    rng = random.Random(f"{original.name} {seed} {case}")
    content = bytearray(healthy)
    for _ in range(rng.randint(1, 6)):
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
    path = folder / original.name
    path.write_bytes(bytes(content))
    end = "cube"
    try:
        cube = open_cube(path)
        np.asarray(cube.data[0, :2, :2]), np.asarray(cube.data[-1, -1, -2:])
        del cube
    except (DataError, ConfigError) as error:
        end = "refused" if "\\n" not in str(error) else f"BAD more than one line: {error!r}"
    except BaseException as error:
        end = f"BAD {type(error).__name__}: {error}"
    print(json.dumps({"end": end[:300]}), flush=True)
"""


def originals(folder: Path) -> list[Path]:
    """Healthy files: written ones, and real ones below 2 MiB, one of each kind of name."""
    sys.path.insert(0, str(ROOT))
    from tests.cubeseg.io.written import healthy_files

    found = healthy_files(folder)
    kinds = {path.suffix.lower() for path in found}
    endings = {".bcf", ".emd", ".pts", ".wdf", ".dm3", ".spx", ".fits", ".mat", ".h5", ".ptir", ".map", ".fsm", ".mda"}
    for path in sorted(DATA.rglob("*"), key=lambda p: ("_derived" in str(p), p)) if DATA.is_dir() else []:
        ending = path.suffix.lower()
        if ending in endings and path.is_file() and 0 < path.stat().st_size < 2 << 20:
            endings.discard(ending)
            found.append(path)
    assert kinds
    return found


def run(original: Path, cases: int, seed: int, limit: float = 20.0) -> tuple[Counter[str], list[str]]:
    """All cases of one file; what came of them, and what should not have."""
    counts: Counter[str] = Counter()
    bad: list[str] = []
    case = 0
    while case < cases:
        with tempfile.TemporaryDirectory() as folder:
            command = [sys.executable, "-c", _CHILD, str(original), folder, str(case), str(cases), str(seed)]
            child = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
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
                    kind = said["end"].split(" ")[0]
                    counts[kind] += 1
                    if kind == "BAD":
                        bad.append(f"{original.name} case {pending}: {said['end']}")
                    case, pending = (pending or 0) + 1, None
                if ended:
                    break
                # the first case pays for the imports
                if time.monotonic() - last > (limit if counts else 3 * limit):
                    child.kill()
                    child.wait()
                    break
                time.sleep(0.01)
            if pending is not None:
                what = "hung" if child.returncode == -9 else f"crashed with {child.returncode}"
                counts[what.split(" ")[0]] += 1
                bad.append(f"{original.name} case {pending}: {what}")
                case = pending + 1
            elif case < cases and child.returncode != 0:
                bad.append(f"{original.name}: the child ended with {child.returncode} before it began")
                break
    return counts, bad


def main() -> int:
    """Run, print, and say by the exit status whether anything went wrong."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=int, default=10_000, help="over all files")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--formats", nargs="*", help="only files whose names contain one of these")
    options = parser.parse_args()
    everything: list[str] = []
    total: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        files = originals(Path(folder))
        if options.formats:
            files = [f for f in files if any(part in f.name for part in options.formats)]
        for original in files:
            start = time.monotonic()
            counts, bad = run(original, -(-options.cases // len(files)), options.seed)
            total += counts
            everything += bad
            print(f"{original.name:32} {dict(counts)} {time.monotonic() - start:.0f} s", flush=True)
            for line in bad[:5]:
                print("   ", line, flush=True)
    print(f"{sum(total.values())} cases over {len(files)} files: {dict(total)}")
    return 1 if everything else 0


if __name__ == "__main__":
    sys.exit(main())
