"""A user who tries everything at random in the real napari: mouse, keys, buttons, sliders, docks, layers.

    python -m tests.soak.monkey [--actions 1000] [--seed 0] [--seconds 600]

After every action the state is checked (see :func:`tests.soak.watch.faults`); now and then everything is undone and
done again. The same seed gives the same intentions; what comes of them also hangs on what the threads do meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter
from pathlib import Path

import numpy as np
from qtpy.QtTest import QTest
from qtpy.QtWidgets import QApplication

from cubeseg.samples import write_sample
from napari_cubeseg import layers as our
from tests.soak.actions import Actions
from tests.soak.user import DIST, DOCKS
from tests.soak.watch import Watch, faults


def write_cubes(folder: Path) -> list[Path]:
    """Small cubes to play with: counts, flux with gaps, a cube of few bands."""
    painting, galaxy, few = folder / "painting.h5", folder / "galaxy.h5", folder / "few bands.npy"
    write_sample("painting", painting, size=24, counts=300, seed=1)
    write_sample("galaxy", galaxy, size=20, seed=2)
    rows, columns = np.mgrid[:22, :30]
    parts = np.random.default_rng(3).random((3, 36))[(rows // 8 + columns // 11) % 3].transpose(2, 0, 1)
    np.save(few, (parts + np.random.default_rng(4).normal(0, 0.05, parts.shape)).astype(np.float32))
    return [painting, galaxy, few]


class Monkey(Actions):
    """The user.

    Parameters
    ----------
    viewer : napari.Viewer
    cubes : list of Path
        Files that it opens.
    seed : int
    watch : Watch
    """

    def __init__(self, viewer: object, cubes: list[Path], seed: int, watch: Watch) -> None:
        super().__init__(viewer, cubes, seed)
        self.watch = watch
        self.done: Counter[str] = Counter()
        self.last: list[str] = []
        self._starts: dict[object, tuple[object, np.ndarray]] = {}
        self.actions = [(name.removeprefix("do_"), getattr(self, name)) for name in dir(self) if name.startswith("do_")]
        often = {"click_pixel": 6, "paint": 8, "key": 10, "undo_redo": 6, "select_rows": 6, "operate": 10, "slide": 6,
                 "band": 4, "run": 3, "pause": 2, "cancel": 2, "delete_layer": 2}  # fmt: skip
        self._weights = [often.get(name, 1) for name, _ in self.actions]

    def play(self, actions: int, seconds: float = float("inf")) -> int:
        """Do so many actions, at most for so long; returns how many were done. Raises at what is wrong."""
        end = time.monotonic() + seconds
        for count in range(actions):
            if time.monotonic() > end:
                return count
            self.step(*self._choose())
            if count % 4 == 3:
                self.check(spectra=True)
            if count % 100 == 99:
                self.step("undo everything", self.undo_everything)
        return actions

    def _choose(self) -> tuple[str, object]:
        """Anything; where there is nothing to play with, rather what brings it."""
        wanted = ""
        if self.session.cube is None:
            wanted = "open_cube"
        elif self.session.result is None:
            wanted = "wait_for_run" if self.session.running else "run"
        elif "Segment datacube" not in self._widgets():
            wanted = "open_dock"
        if wanted and self.random.random() < 0.5:
            return wanted, getattr(self, f"do_{wanted}")
        return self.random.choices(self.actions, self._weights)[0]

    def step(self, name: str, do: object) -> None:
        """One action, and the check after it."""
        self.watch.doing = name
        self.done[name] += 1
        self.watch.resume()
        said = do()
        self.last = [*self.last[-60:], f"{name} {said or ''}"]
        QApplication.processEvents()
        if self.random.random() < 0.3:
            QTest.qWait(self.random.choice([1, 5, 20, 60]))
        self.watch.rest()
        self.check()

    def check(self, spectra: bool = False) -> None:
        """Everything must agree.

        Raises
        ------
        AssertionError
            With the last actions.
        """
        found = self.watch.wrong + faults(self.session, spectra)
        for layer in self.viewer.layers:
            if our.role(layer) == "labels":
                bench = self.session.desks.at(layer)[0]
                if bench not in self._starts and bench.history.last is None and bench._stroke is None:
                    self._starts[bench] = bench.result, bench.result.labels.copy()
        assert not found, "\n".join([*found, "after:", *self.last])

    def finish(self) -> None:
        """Stop what runs and wait until everything is counted."""
        self.watch.doing = "finish"
        self._answers.stop()
        self.session.cancel()
        self.wait(lambda: all(self.session.desks.at(item)[0].settled for item in self._labels()), 30)
        self.check(spectra=True)

    # the way back

    def undo_everything(self) -> str:
        """Undo of everything gives what there was at first, to the pixel; redo of everything gives the last."""
        self._key("Escape")
        bench = self.session.workbench
        if bench is None or bench not in self._starts:
            return "nothing"
        self.wait(lambda: bench.settled and self.session.adjustments._pending is None, 5)
        steps = 0
        while bench.history.last is not None:
            bench.undo()
            steps += 1
        first, labels = self._starts[bench]
        assert bench.result is first, "undo of everything ends with another segmentation"
        assert (bench.result.labels == labels).all(), "undo of everything gives other labels"
        assert (bench.layer.data == labels).all(), "undo of everything: the layer holds other labels"
        self.check()
        while bench.history.next is not None:
            bench.redo()
        return f"{steps} steps"


def main() -> int:
    """Play in a napari of its own, and tell what came of it."""
    import argparse
    import resource
    import tempfile

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--actions", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=float("inf"))
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        import os

        os.environ["CUBESEG_SETTINGS"] = folder
        os.environ["NAPARI_CONFIG"] = str(Path(folder) / "napari.yaml")
        import napari

        viewer = napari.Viewer()
        viewer.window.resize(1100, 800)
        with Watch() as watch:
            monkey = Monkey(viewer, write_cubes(Path(folder)), options.seed, watch)
            for dock in DOCKS:
                viewer.window.add_plugin_dock_widget(DIST, dock)
            try:
                count = monkey.play(options.actions, options.seconds)
                monkey.finish()
            except AssertionError as error:
                print(f"seed {options.seed}, action {sum(monkey.done.values())}: {error}", flush=True)
                os._exit(1)
            most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss >> 10
            print(f"seed {options.seed}: {count} actions, {len(watch.stalls)} stalls, at most {most} MiB")
            for doing, took, worked in sorted(watch.stalls, key=lambda s: -s[2])[:12]:
                print(f"    {doing}: {took:.2f} s, of which the window worked {worked:.2f} s")
            for text, times in watch.told.most_common(40):
                print(f"    told {times} times: {text}")
            viewer.close()
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
