"""Work by hand in a viewer without a window: strokes, classes, sliders, and one way back through all of it."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

import cubeseg
from cubeseg import FitConfig, open_cube
from cubeseg.cube import Cube
from cubeseg.errors import DataError
from napari_cubeseg.jobs import run_now
from napari_cubeseg.layers import cube_layer
from tests.napari_cubeseg.helpers import check_spectra, paint, run_job, slide

# corrections


def test_painting_moves_the_means(done):
    changes = []
    done.classes_changed.connect(lambda: changes.append(1))
    before = done.result.pixels(2)
    paint(done.labels_layer, (2, 9), (3, 12), 2)
    assert done.result.pixels(2) > before
    assert changes
    check_spectra(done)
    assert done.labels_layer.features.set_index("index").loc[2, "pixels"] == done.result.pixels(2)


def test_undo_and_redo_are_followed(done):
    original = done.labels_layer.data.copy()
    paint(done.labels_layer, (2, 9), (3, 12), 2)
    painted = done.labels_layer.data.copy()
    done.labels_layer.undo()
    assert (done.result.labels == original).all()
    check_spectra(done)
    done.labels_layer.redo()
    assert (done.result.labels == painted).all()
    check_spectra(done)


def test_undo_does_not_reach_back_into_the_previews(session):
    session.start(FitConfig(clusters=(4, 4), epochs=3))
    labels = session.labels_layer.data.copy()
    session.labels_layer.undo()
    assert (session.labels_layer.data == labels).all()


def test_only_changed_pixels_are_read(done, monkeypatch):
    read_pixels = []
    spectra = Cube.spectra
    monkeypatch.setattr(Cube, "spectra", lambda self, r, c: (read_pixels.append(len(r)), spectra(self, r, c))[1])
    monkeypatch.setattr(Cube, "block", lambda *_: pytest.fail("a correction must not read blocks"))
    wrong = done.labels_layer.data[4:6, 4:9] != 3
    paint(done.labels_layer, (4, 6), (4, 9), 3)
    assert sum(read_pixels) == wrong.sum()


def test_a_new_label_becomes_a_class(done):
    paint(done.labels_layer, (0, 3), (0, 3), 20)
    assert done.result.info(20).name == "class 20"
    assert done.labels_layer.colormap.map(20)[3] == 1
    check_spectra(done)


def test_painting_goes_on_while_the_spectra_are_read(done):
    jobs = []
    done.autosave.touch = lambda layer: None
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    layer = done.labels_layer
    paint(layer, (0, 4), (0, 4), 2)
    paint(layer, (4, 8), (0, 4), 3)
    assert len(jobs) == 1
    while jobs:
        run_job(jobs.pop(0))
    check_spectra(done)


def test_labels_of_another_shape_are_refused_and_nothing_is_lost(done, notified):
    before = done.result.labels.copy()
    done.labels_layer.data = np.ones((5, 5), np.int32)
    assert "the classes stay as they were" in notified[-1]
    assert (done.result.labels == before).all()


def test_deleting_the_labels_layer(done):
    done.viewer.layers.remove(done.labels_layer)
    assert done.result is None
    assert done.selected == ()


# names, colours


def test_rename_and_recolour_reach_layer_and_result(done, tmp_path):
    done.workbench.rename(2, "azurite")
    done.workbench.recolour(2, "#102030")
    assert done.labels_layer.features.set_index("index").loc[2, "class"] == "azurite"
    assert np.allclose(done.labels_layer.get_color(2)[:3], np.array([16, 32, 48]) / 255, atol=1e-3)
    done.exports.write(tmp_path, ["csv", "hdf5"])
    assert "azurite" in (tmp_path / "painting-spectra.csv").read_text()
    assert cubeseg.load(tmp_path / "painting-result.h5").info(2).colour == "#102030"


# coherence and granularity


def test_coherence_changes_the_labels_and_keeps_what_was_painted(done):
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    slide(done, "cohere", 0.0)
    alone = done.result.evidence.argmax(axis=0) + 1
    assert (done.labels_layer.data[:3, :3] == 9).all()
    assert (done.labels_layer.data[3:] == alone[3:]).all()
    slide(done, "cohere", 2.0)
    assert (done.labels_layer.data[3:] != alone[3:]).any()
    assert (done.labels_layer.data[:3, :3] == 9).all()
    check_spectra(done)
    paint(done.labels_layer, (5, 8), (5, 8), 1)
    check_spectra(done)


def test_other_labels_are_made_with_progress(done):
    seen = []
    done.adjusting.connect(seen.append)
    slide(done, "cohere", 2.0)
    assert seen[-1] is None
    assert len(seen) > 2
    assert all(a <= b for a, b in pairwise(seen[:-1]))


def test_granularity_goes_down_and_comes_back(done):
    fine, names = done.labels_layer.data.copy(), [c.name for c in done.result.classes]
    assert done.adjustments.granularity == (1, 6)
    heard = []
    done.classes_changed.connect(lambda: heard.append(done.adjustments.granularity))
    slide(done, "coarsen", 3)
    assert len(done.result.classes) == 3
    check_spectra(done)
    assert heard == [(1, 6)]
    slide(done, "coarsen", 6)
    assert (done.labels_layer.data == fine).all()
    assert [c.name for c in done.result.classes] == names
    check_spectra(done)


def test_coherence_keeps_the_granularity_and_the_way_back(done):
    slide(done, "coarsen", 3)
    slide(done, "cohere", 0.0)
    assert len(done.result.classes) == 3
    assert done.result.coherence == 0
    check_spectra(done)
    assert done.adjustments.granularity == (1, 6)
    slide(done, "coarsen", 6)
    assert len(done.result.classes) == 6
    assert (done.labels_layer.data == done.result.evidence.argmax(axis=0) + 1).all()
    check_spectra(done)


def test_work_on_coarse_classes_is_not_lost_by_the_slider(done):
    slide(done, "coarsen", 3)
    kept = done.result.classes[0].id
    done.workbench.rename(kept, "ground")
    paint(done.labels_layer, (5, 8), (5, 8), kept)
    assert done.adjustments.granularity == (1, 3)
    slide(done, "coarsen", 2)
    assert done.result.info(1).name in ("ground", "class 1")
    assert (done.labels_layer.data[5:8, 5:8] == done.labels_layer.data[5, 5]).all()


def test_painting_while_coherence_is_computed_holds(done):
    jobs = []
    done.autosave.touch = lambda layer: None
    done.runner = lambda *arguments, **_: jobs.append(arguments)
    slide(done, "cohere", 0.0)
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    while jobs:
        run_job(jobs.pop(0))
        assert (done.labels_layer.data[:3, :3] == 9).all()
    assert (done.labels_layer.data[:3, :3] == 9).all()
    assert done.result.coherence == 0
    check_spectra(done)


# operations on classes


def classes(session):
    return [c.id for c in session.result.classes]


def test_every_operation_is_one_step_back_and_forth(done):
    bench, layer = done.workbench, done.labels_layer
    states = [(done.result.labels.copy(), tuple(done.result.classes))]
    for step in (
        lambda: bench.merge([1, 2]),
        lambda: paint(layer, (0, 4), (0, 4), 3),
        lambda: bench.split(3, 3),
        lambda: bench.delete([4]),
        lambda: bench.rename(5, "vermilion"),
        lambda: bench.recolour(5, "#ff0000"),
        lambda: bench.annotate(5, "under the varnish"),
        lambda: bench.lock([5]),
        lambda: bench.solo([5]),
        lambda: bench.solo([5]),
        lambda: bench.hide([5, 6]),
        lambda: bench.move([6], -1),
        lambda: slide(done, "coarsen", 4),
        lambda: slide(done, "recluster", 5),
        lambda: paint(layer, (8, 12), (8, 12), 40),
        lambda: slide(done, "cohere", 1.5),
        lambda: bench.assign(np.arange(layer.data.size).reshape(layer.data.shape) < 50, 41),
    ):
        last = bench.history.last
        step()
        states.append((done.result.labels.copy(), tuple(done.result.classes)))
        check_spectra(done)
        assert bench.history.last is not last
    for labels, infos in reversed(states[:-1]):
        layer.undo()
        assert (layer.data == labels).all()
        assert tuple(done.result.classes) == infos
        check_spectra(done)
    for labels, infos in states[1:]:
        layer.redo()
        assert (layer.data == labels).all()
        assert tuple(done.result.classes) == infos
        check_spectra(done)


def test_nothing_to_undo_says_so(done, notified):
    done.labels_layer.undo()
    done.labels_layer.redo()
    assert notified[-2:] == ["There is nothing to undo", "There is nothing to redo"]


def test_the_same_stroke_may_go_over_a_pixel_twice(done):
    layer, before = done.labels_layer, done.labels_layer.data.copy()
    with layer.block_history():
        layer.paint((3, 3), 2)
        layer.paint((3, 5), 4)
        layer.paint((3, 3), 5)
    check_spectra(done)
    layer.undo()
    assert (layer.data == before).all()
    check_spectra(done)
    layer.undo()
    assert (layer.data == before).all()


def test_a_stroke_that_is_taken_back_is_no_step(done):
    layer, before = done.labels_layer, done.labels_layer.data.copy()
    with layer.block_history():
        layer.data[:3, :3] = 2
        layer.refresh()
        layer.data[...] = before
        layer.refresh()
        layer.events.paint(value=[])
    assert done.workbench.history.last is None
    assert not done.result.log
    check_spectra(done)


def test_splitting_again_takes_the_place_of_the_split(done):
    bench = done.workbench
    bench.split(1, 2)
    assert len(classes(done)) == 7
    assert bench.split_last == 1
    bench.split(1, 4)
    assert len(classes(done)) == 9
    bench.undo()
    assert len(classes(done)) == 6
    assert bench.split_last is None


def test_locked_classes_are_not_painted_over(done):
    layer = done.labels_layer
    mine = layer.data == 2
    done.workbench.lock([2])
    paint(layer, (0, 32), (0, 32), 3)
    assert (layer.data[mine] == 2).all()
    assert (layer.data[~mine] == 3).all()
    check_spectra(done)


def test_locked_classes_refuse_operations(done, notified):
    done.workbench.lock([2])
    assert not done.workbench.merge([1, 2])
    assert "is locked" in notified[-1]
    done.workbench.lock([2])
    assert done.workbench.merge([1, 2])


def test_hidden_classes_are_transparent(done):
    done.workbench.hide([2])
    assert done.labels_layer.get_color(2)[3] == 0
    assert done.labels_layer.get_color(3)[3] == 1
    done.workbench.solo([2])
    assert done.labels_layer.get_color(3)[3] == 0


def test_clustering_anew_is_shown_at_once_and_taken_over_when_let_go(done):
    before = done.result
    done.adjustments.begin()
    done.adjustments.recluster(4)
    assert done.result is before
    shown = done.labels_layer.data.copy()
    assert (shown != before.labels).any()
    assert done.workbench.history.last is None
    done.adjustments.recluster(9)
    done.adjustments.release()
    assert len(classes(done)) == 9
    check_spectra(done)
    done.workbench.undo()
    assert done.result is before
    assert (done.labels_layer.data == before.labels).all()


def test_painting_on_a_preview_goes_into_what_there_is(done):
    before = done.result.labels.copy()
    done.adjustments.begin()
    done.adjustments.recluster(3)
    paint(done.labels_layer, (0, 3), (0, 3), 5)
    assert (done.labels_layer.data[:3, :3] == 5).all()
    assert (done.labels_layer.data[3:] == before[3:]).all()
    assert done.result.painted.sum() <= 9
    check_spectra(done)


def test_a_number_that_cannot_be_had_brings_the_labels_back(done, notified):
    done.workbench.lock([1, 2, 3])
    slide(done, "recluster", 3)
    assert "locked" in notified[-1]
    assert (done.labels_layer.data == done.result.labels).all()


@pytest.mark.parametrize("way", ["undo", "redo"])
def test_what_a_slider_shows_goes_where_there_is_nothing_to_undo(done, way):
    bench, before = done.workbench, done.labels_layer.data.copy()
    done.adjustments.begin()
    done.adjustments.coarsen(2)
    assert (bench.layer.data != before).any()
    getattr(bench, way)()
    assert (bench.layer.data == before).all()
    done.adjustments.release()
    assert (bench.layer.data == before).all()


def test_two_layers_keep_their_own_histories(done):
    first = done.labels_layer
    before = first.data.copy()
    paint(first, (0, 3), (0, 3), 5)
    done.start(cubeseg.FitConfig(method="pca", clusters=(3, 3)))
    second = done.labels_layer
    done.workbench.merge([1, 2])
    done.viewer.layers.selection.active = first
    assert done.labels_layer is first
    done.workbench.undo()
    assert (first.data == before).all()
    assert len(done.result.classes) == 6
    done.viewer.layers.selection.active = second
    assert len(done.result.classes) == 2
    second.undo()
    assert len(done.result.classes) == 3


def test_a_deleted_segmentation_can_be_brought_back(done):
    layer = done.labels_layer
    paint(layer, (0, 3), (0, 3), 9)
    done.viewer.layers.remove(layer)
    assert done.result is None
    done.autosave.bring_back_layer()
    assert done.labels_layer is layer
    assert done.result.info(9)
    assert not done.autosave.deleted
    paint(layer, (0, 3), (0, 3), 2)
    check_spectra(done)


@pytest.mark.parametrize("also_undone", [False, True])
def test_work_while_the_cube_is_closed_is_counted_when_it_is_back(done, also_undone):
    cube, layer = done.cube_layer, done.labels_layer
    done.viewer.layers.remove(cube)
    done.viewer.layers.selection.active = layer
    paint(layer, (0, 6), (0, 6), 2)
    slide(done, "recluster", 4)
    assert len(done.result.classes) == 4
    paint(layer, (8, 12), (0, 6), int(done.result.classes[0].id))
    if also_undone:
        done.workbench.undo()
        done.workbench.undo()
    done.viewer.add_layer(cube)
    done.viewer.layers.selection.active = layer
    check_spectra(done)
    if also_undone:
        done.workbench.redo()
        check_spectra(done)
        done.workbench.redo()
    else:
        done.workbench.undo()
    check_spectra(done)


def test_strokes_while_spectra_are_counted_anew_count_once(done, notified):
    cube, layer, jobs = done.cube_layer, done.labels_layer, []
    done.viewer.layers.remove(cube)
    done.viewer.layers.selection.active = layer
    slide(done, "recluster", 4)
    done.use_threads(lambda *arguments, **_: jobs.append(arguments))
    done.viewer.add_layer(cube)
    done.viewer.layers.selection.active = layer
    (recount,) = (job for job in jobs if job[0].__name__ == "gains")
    # coming back once more does not begin it once more
    done.workbench.catch_up()
    assert sum(job[0].__name__ == "gains" for job in jobs) == 1
    recount[4](DataError("a.h5: cannot be read"))
    assert "behind the map" in notified[-1]
    done.workbench.catch_up()
    paint(layer, (0, 6), (0, 6), int(done.result.classes[0].id))
    again, stroke = jobs[-2:]
    run_job(again)
    assert jobs[-1] is stroke
    run_job(stroke)
    assert jobs[-1][0].__name__ == "gains"
    run_job(jobs[-1])
    check_spectra(done)


def test_what_was_painted_can_be_seen(done):
    paint(done.labels_layer, (0, 3), (0, 3), 9)
    done.overlays.show_corrections(True)
    layer = next(item for item in done.viewer.layers if item.metadata.get("cubeseg", {}).get("role") == "corrections")
    assert (layer.data > 0).sum() == 9
    assert done.viewer.layers.selection.active is done.labels_layer
    paint(done.labels_layer, (5, 6), (5, 9), 2)
    assert (layer.data > 0).sum() == done.result.painted.sum() > 9
    done.overlays.show_corrections(False)
    assert layer not in done.viewer.layers


def test_a_duplicate_of_the_layer_is_a_segmentation_of_its_own(done):
    from napari.layers import Layer

    first = done.labels_layer
    data, keywords, kind = first.as_layer_data_tuple()
    import copy

    second = done.viewer.add_layer(Layer.create(copy.deepcopy(data), copy.deepcopy(keywords), kind))
    assert done.labels_layer is second
    before = first.data.copy()
    paint(second, (0, 3), (0, 3), 9)
    assert (first.data == before).all()
    done.viewer.layers.selection.active = first
    assert len(done.result.classes) == 6


def test_strokes_without_the_cube_are_counted_when_it_comes_back(done, painting_file):
    layer = done.labels_layer
    done.viewer.layers.remove(done.cube_layer)
    paint(layer, (2, 9), (3, 8), 2)
    done.workbench.merge([3, 4])
    done.workbench.delete([5])
    done.add(cube_layer(open_cube(painting_file)))
    assert done.labels_layer is layer
    check_spectra(done)
    while done.workbench.history.last is not None:
        done.workbench.undo()
    check_spectra(done)


def test_strokes_that_were_not_read_yet_come_back_with_the_layer(done):
    waiting = []
    done.runner = lambda *job, **_: waiting.append(job)
    layer = done.labels_layer
    paint(layer, (2, 9), (3, 8), 2)
    done.viewer.layers.remove(layer)
    done.runner = run_now
    done.autosave.bring_back_layer()
    assert done.labels_layer is layer
    check_spectra(done)


def test_a_layer_that_is_deleted_under_a_preview_comes_back_with_its_labels(done):
    layer = done.labels_layer
    done.adjustments.begin()
    done.adjustments.coarsen(2)
    done.viewer.layers.remove(layer)
    done.autosave.bring_back_layer()
    assert (layer.data == done.result.labels).all()


def test_strokes_that_could_not_be_read_are_read_later(done, painting_file, notified):
    broken = open_cube(painting_file)
    whole = broken.data
    done.cube_layer.metadata["cubeseg"]["cube"] = replace(broken, data=_Broken(whole))
    paint(done.labels_layer, (2, 9), (3, 8), 2)
    assert "do not follow" in notified[-1]
    done.add(cube_layer(open_cube(painting_file)))
    check_spectra(done)


class _Broken:
    """A cube whose file has gone."""

    def __init__(self, whole):
        self.shape, self.dtype, self.ndim = whole.shape, whole.dtype, 3

    def __getitem__(self, key):
        raise DataError("painting.h5: is no longer there")
