"""What was done in the viewer is in the record, and is done again from the file alone."""

from __future__ import annotations

from cubeseg import load, open_cube
from cubeseg.steps import finish
from cubeseg.training.replaying import replay
from tests.napari_cubeseg.helpers import paint, run_job, slide


def test_work_in_the_viewer_is_replayed(done, painting_file, tmp_path):
    bench = done.workbench
    paint(done.labels_layer, (0, 4), (0, 6), 9)
    paint(done.labels_layer, (10, 14), (0, 6), 2)
    done.labels_layer.undo()
    bench.rename(9, "retouching")
    bench.split(1, 3)
    bench.split(1, 2)
    bench.move([9], -1)
    bench.solo([1, 9])
    bench.lock([9])
    slide(done, "cohere", 0.5)
    slide(done, "coarsen", len(done.result.classes) - 1)
    slide(done, "recluster", 6)
    paint(done.labels_layer, (20, 24), (20, 24), 2)
    jobs, runner = [], done.runner
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    done.learning.refine()
    done.runner = runner
    # meanwhile
    paint(done.labels_layer, (26, 28), (20, 24), 3)
    bench.recolour(2, "#010203")
    run_job(jobs[0])
    bench.undo()
    bench.redo()
    assert done.cubes.calibrate("0.5,0.04 keV")
    done.exports.write(tmp_path, ["hdf5"])
    stored = load(tmp_path / "painting-result.h5")
    operations = [said["operation"] for said in stored.log]
    assert {"paint", "split", "coherence", "coarsen", "recluster", "refine", "recolour", "calibrate"} <= set(operations)
    assert operations.count("split") == 1
    found = finish(replay(stored, open_cube(painting_file)))
    assert (found.missed, found.agreement) == ([], 1.0)
    assert found.result.classes == done.result.classes
    assert (found.result.painted == done.result.painted).all()


def test_a_stroke_is_one_entry_with_each_pixel_once(done):
    layer, before = done.labels_layer, done.result.labels.copy()
    layer.selected_label = 3
    layer.mode = "paint"
    with layer.block_history():
        paint(layer, (0, 4), (0, 6), 3)
        paint(layer, (2, 6), (0, 6), 3)
    (said,) = [said for said in done.result.log if said["operation"] == "paint"]
    where, old, new = said.changes.joined()
    assert len(set(where)) == len(where)
    assert (old == before.flat[where]).all()
    assert (done.result.labels.flat[where] == new).all()
