"""Work by hand: every operation, the way back, and class spectra that stay right."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from cubeseg import FitConfig, editing, load, segment
from cubeseg.editing import edits
from cubeseg.editing.hierarchy import coarser
from cubeseg.editing.history import History, Replacement
from cubeseg.editing.reclustering import reclustered, regrouped
from cubeseg.editing.relabel import recohered
from cubeseg.errors import ConfigError, DataError
from cubeseg.steps import finish
from tests.cubeseg.cubes import counts_cube, variance_cube


@pytest.fixture(scope="module")
def cube():
    return counts_cube()[0]


@pytest.fixture(scope="module")
def fresh(cube):
    return segment(cube, FitConfig(method="pca", clusters=(4, 4)))


@pytest.fixture
def result(fresh):
    return fresh.copy()


def check_spectra(result, cube):
    """Running sums must equal those made anew."""
    for label in range(len(result.spectra.n)):
        mine = cube.data[:, result.labels == label].astype(float)
        assert result.spectra.n[label] == mine.shape[1]
        if mine.shape[1]:
            np.testing.assert_allclose(result.spectra.mean(label), mine.mean(axis=1), atol=1e-9)
            np.testing.assert_allclose(result.spectra.std(label), mine.std(axis=1), atol=1e-5)
    for row in result.table():
        mine = result.confidence[result.labels == row["id"]].astype(float)
        assert row["confidence"] == pytest.approx(mine.mean() if mine.size else 0.0, abs=1e-9)


def state(result):
    """Everything that undo must bring back."""
    return (
        result.labels.tobytes(),
        tuple(result.classes),
        tuple(result.tree),
        result.lineage.tobytes(),
        result.centroids.tobytes(),
        None if result.profiles is None else result.profiles.tobytes(),
        result.evidence.tobytes(),
        np.zeros(result.labels.shape, bool).tobytes() if result.painted is None else result.painted.tobytes(),
        result.confidence.tobytes(),
        len(result.log),
    )


def done(edit, cube):
    """Do an edit and read the pixels that it needs."""
    edit.do()
    for part in edit.pixels:
        if part.sums is None:
            edit.count(part, finish(edits.counted(part, cube, edit.result.labels.shape[1])))
    return edit


def at(result, rows, columns):
    return np.ravel_multi_index((np.asarray(rows), np.asarray(columns)), result.labels.shape)


def test_painting_moves_exactly_the_painted_pixels(result, cube):
    labels = result.labels.copy()
    labels[3:9, 2:20] = 2
    labels[0, 0] = 0
    where = np.flatnonzero(labels != result.labels)
    done(editing.paint(result, where, labels.flat[where]), cube)
    assert (result.labels == labels).all()
    check_spectra(result, cube)
    assert result.log[-1]["pixels"] == len(where)
    assert (result.confidence.flat[where] == 1).all()
    assert result.painted.sum() == len(where)


def test_painting_a_new_label_starts_a_class(result, cube):
    before = state(result)
    edit = done(editing.paint(result, at(result, [1, 2], [1, 2]), np.array([9, 9])), cube)
    assert result.info(9).name == "class 9"
    assert result.pixels(9) == 2
    check_spectra(result, cube)
    edit.undo()
    assert state(result) == before
    with pytest.raises(ConfigError, match="no class 9"):
        result.info(9)


def test_painting_without_the_cube_keeps_the_counts(result):
    editing.paint(result, at(result, [0, 0], [0, 1]), np.array([3, 3])).do()
    assert result.pixels(3) == (result.labels == 3).sum()


def test_negative_labels_are_refused(result):
    with pytest.raises(DataError, match="negative"):
        editing.paint(result, np.array([0]), np.array([-1]))


def test_a_stroke_is_one_step(result, cube):
    before = state(result)
    stroke = done(editing.paint(result, np.array([0, 1]), np.array([2, 2])), cube)
    for where, label in (([1, 2], 3), ([0], 9)):
        stroke.extend(done(editing.paint(result, np.array(where), np.full(len(where), label)), cube))
    assert result.labels.flat[:3].tolist() == [9, 3, 3]
    assert (len(result.log), result.log[-1]["pixels"]) == (1, 5)
    check_spectra(result, cube)
    stroke.undo()
    assert state(result) == before
    check_spectra(result, cube)
    stroke.do()
    assert result.labels.flat[:3].tolist() == [9, 3, 3]
    assert result.info(9)
    check_spectra(result, cube)


def test_merging_reads_nothing_and_holds(result, cube):
    before = state(result)
    labels = result.labels.copy()
    edit = editing.merge(result, [3, 1, 4])
    edit.do()
    check_spectra(result, cube)
    assert [c.id for c in result.classes] == [2, 3]
    assert ((result.labels == 3) == np.isin(labels, [1, 3, 4])).all()
    again = finish(recohered(result, cube, 0.0))
    assert set(np.unique(again.labels)) == {2, 3}
    edit.undo()
    assert state(result) == before
    check_spectra(result, cube)


def test_merging_before_the_strokes_are_counted(result, cube):
    stroke = editing.paint(result, at(result, [0, 1], [0, 1]), np.array([4, 4]))
    stroke.do()
    done(editing.merge(result, [1, 4], settled=False), cube)
    stroke.count(stroke.pixels[0], finish(edits.counted(stroke.pixels[0], cube, result.labels.shape[1])))
    check_spectra(result, cube)


def test_an_edit_undone_before_it_was_counted(result, cube):
    edit = editing.paint(result, at(result, [0, 1], [0, 1]), np.array([4, 4]))
    edit.do()
    edit.undo()
    edit.count(edit.pixels[0], finish(edits.counted(edit.pixels[0], cube, result.labels.shape[1])))
    check_spectra(result, cube)
    edit.do()
    check_spectra(result, cube)


def test_deleting_leaves_pixels_unassigned_and_holds(result, cube):
    edit = editing.delete(result, [2])
    edit.do()
    check_spectra(result, cube)
    assert not (result.labels == 2).any()
    assert [c.id for c in result.classes] == [1, 3, 4]
    assert not (finish(recohered(result, cube, 0.2)).labels == 2).any()


def test_splitting_keeps_the_class_and_holds(result, cube):
    editing.merge(result, [1, 2]).do()
    merged = state(result)
    edit = done(editing.split(result, 1, 2), cube)
    check_spectra(result, cube)
    ids = edit.operation["into"]
    assert ids[0] == 1
    assert [c.id for c in result.classes] == [1, ids[1], 3, 4]
    assert result.info(ids[1]).name == "class 1 2"
    assert result.pixels(1) >= result.pixels(ids[1]) > 0
    assert len(result.evidence) == len(result.lineage) == len(result.centroids) == len(result.profiles) == 6
    split = result.labels.copy()
    again = finish(recohered(result, cube, 0.0))
    assert set(np.unique(again.labels)) == {1, 3, 4, ids[1]}
    assert (again.labels == split).mean() > 0.9
    assert ids[1] not in [c.id for c in coarser(result, 3).classes]
    edit.undo()
    assert state(result) == merged


def test_splitting_finds_what_was_merged(result, cube):
    labels = result.labels.copy()
    pair = sorted((c.id for c in result.classes), key=result.pixels)[-2:]
    editing.merge(result, pair).do()
    edit = done(editing.split(result, pair[0], 2), cube)
    one, other = (result.labels == i for i in edit.operation["into"])
    agree = max(((labels == pair[0]) & one).sum() + ((labels == pair[1]) & other).sum(),
                ((labels == pair[1]) & one).sum() + ((labels == pair[0]) & other).sum())  # fmt: skip
    assert agree > 0.9 * np.isin(labels, pair).sum()


def test_names_colours_notes_order_and_visibility(result):
    before = state(result)
    edits = [
        editing.rename(result, 1, "  lead   white "),
    ]
    edits[-1].do()
    for make in (
        lambda: editing.recolour(result, 1, "#FF8000"),
        lambda: editing.annotate(result, 1, " under the varnish "),
        lambda: editing.reorder(result, [3, 1]),
        lambda: editing.show(result, [3]),
        lambda: editing.lock(result, [1, 2]),
    ):
        edits.append(make())
        edits[-1].do()
    info = result.info(1)
    assert (info.name, info.colour, info.note) == ("lead white", "#ff8000", "under the varnish")
    assert [c.id for c in result.classes] == [3, 1, 2, 4]
    assert [c.visible for c in result.classes] == [True, False, False, False]
    assert [c.locked for c in result.classes] == [False, True, True, False]
    for edit in reversed(edits):
        edit.undo()
    assert state(result) == before


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda r: editing.rename(r, 1, "  "), "needs a name"),
        (lambda r: editing.recolour(r, 1, "red-ish"), "no colour"),
        (lambda r: editing.rename(r, 77, "x"), "no class 77"),
        (lambda r: editing.merge(r, [1]), "two classes"),
        (lambda r: editing.merge(r, [1, 1]), "two classes"),
        (lambda r: editing.merge(r, [1, 77]), "no class 77"),
        (lambda r: editing.delete(r, []), "choose a class"),
        (lambda r: editing.split(r, 1, 1), "2 or more"),
        (lambda r: editing.split(r, 1, 10**6), "too few"),
    ],
)
def test_what_cannot_be_done_says_so_and_changes_nothing(result, make, said):
    before = state(result)
    with pytest.raises(ConfigError, match=said):
        make(result)
    assert state(result) == before


def test_locked_classes_are_left_alone(result):
    editing.lock(result, [2]).do()
    for make in (lambda: editing.merge(result, [1, 2]), lambda: editing.delete(result, [2]),
                 lambda: editing.split(result, 2)):  # fmt: skip
        with pytest.raises(ConfigError, match="'class 2' is locked"):
            make()


def test_a_copy_is_not_touched_by_later_edits(result, cube):
    copy = result.copy()
    done(editing.paint(result, at(result, [5], [5]), np.array([8])), cube)
    assert copy.labels[5, 5] != 8
    check_spectra(copy, cube)


def test_edits_survive_the_file(result, cube, tmp_path):
    for make in (lambda: editing.split(result, 1, 2), lambda: editing.lock(result, [2]),
                 lambda: editing.show(result, [1, 2]), lambda: editing.reorder(result, [4]),
                 lambda: editing.delete(result, [3])):  # fmt: skip
        done(make(), cube)
    result.save(tmp_path / "r.h5")
    back = load(tmp_path / "r.h5")
    assert back.classes == result.classes
    assert (back.labels == result.labels).all()
    assert finish(recohered(back, cube, 0.3)).n_clusters > 0


KINDS = ("paint", "merge", "delete", "split", "rename", "lock", "reorder", "show", "undo", "redo")


@settings(max_examples=40, deadline=None)
@given(st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 7), st.integers(0, 7)), min_size=1, max_size=14))
def test_any_sequence_leads_back_and_forth(fresh, cube, steps):
    result, history = fresh.copy(), History()
    states = [state(result)]
    makers = {
        "paint": lambda a, b: editing.paint(result, np.arange(a * 40, a * 40 + 30), np.full(30, b)),
        "merge": lambda a, b: editing.merge(result, [a, b]),
        "delete": lambda a, b: editing.delete(result, [a]),
        "split": lambda a, b: editing.split(result, a, 2 + b % 2),
        "rename": lambda a, b: editing.rename(result, a, f"n{b}"),
        "lock": lambda a, b: editing.lock(result, [a], b % 2 == 0),
        "reorder": lambda a, b: editing.reorder(result, [a, b]),
        "show": lambda a, b: editing.show(result, [a, b]),
    }
    position = 0
    for kind, a, b in steps:
        if kind == "undo":
            assert (history.undo() is None) == (position == 0)
            position = max(position - 1, 0)
        elif kind == "redo":
            if history.redo() is not None:
                position += 1
        else:
            try:
                edit = makers[kind](a, b)
            except ConfigError:
                continue
            history.add(done(edit, cube))
            position += 1
            states[position:] = [state(result)]
        assert state(result) == states[position]
        check_spectra(result, cube)
    while history.undo() is not None:
        position -= 1
        assert state(result) == states[position]
    check_spectra(result, cube)
    while history.redo() is not None:
        position += 1
        assert state(result) == states[position]
    check_spectra(result, cube)


def test_the_history_forgets_the_oldest(result):
    history = History(limit=1)
    for name in "abc":
        edit = editing.paint(result, np.arange(5), np.full(5, 2))
        edit.do()
        edit.title = name
        history.add(edit)
    assert history.last.title == "c"
    assert history.undo() is result
    assert history.undo() is None
    assert history.next.title == "c"


def test_another_segmentation_is_a_step_too(result, cube):
    history = History()
    made = finish(recohered(result, cube, 0.3))
    history.add(Replacement("Coherence", result, made))
    assert history.undo() is result
    assert history.redo() is made


# another number of classes


@pytest.mark.parametrize("n", [2, 4, 6])
def test_reclustering_gives_the_number_asked_for(result, cube, n):
    made = finish(reclustered(result, cube, regrouped(result, n)))
    assert made.n_clusters == len(made.classes) == n
    check_spectra(made, cube)
    assert len(made.evidence) == len(made.lineage) == len(made.centroids) == n
    assert made.profiles is None
    assert result.n_clusters == 4
    again = finish(recohered(made, cube, made.coherence))
    assert (again.labels == made.labels).all()


def test_surviving_classes_keep_name_and_colour(result, cube):
    editing.rename(result, 2, "azurite").do()
    editing.recolour(result, 2, "#123456").do()
    made = finish(reclustered(result, cube, regrouped(result, 5)))
    kept = made.info(2)
    assert (kept.name, kept.colour) == ("azurite", "#123456")
    assert ((made.labels == 2) & (result.labels == 2)).sum() > 0.3 * result.pixels(2)
    assert max(c.id for c in made.classes) > 4


def test_what_people_did_holds_through_reclustering(result, cube):
    editing.lock(result, [3]).do()
    where = np.flatnonzero(result.labels.ravel() != 3)[:40]
    done(editing.paint(result, where, np.full(40, 9)), cube)
    made = finish(reclustered(result, cube, regrouped(result, 5)))
    assert (made.labels.flat[where] == 9).all()
    assert made.info(9).name == "class 9"
    assert ((made.labels == 3) == (result.labels == 3)).all()
    check_spectra(made, cube)
    unlocked = made
    editing.lock(unlocked, [3], locked=False).do()
    again = finish(recohered(unlocked, cube, 0.0))
    assert ((again.labels == 3) == (result.labels == 3)).all()


def test_reclustering_that_cannot_be(result):
    editing.lock(result, [1, 2]).do()
    with pytest.raises(ConfigError, match="2 classes are locked"):
        regrouped(result, 2)
    with pytest.raises(ConfigError, match="pixels are free"):
        regrouped(result, 10**6)


def test_masked_pixels_stay_out_of_it():
    cube = variance_cube()[0]
    result = segment(replace(cube, mask=np.arange(cube.n_pixels).reshape(cube.image_shape) % 7 > 0),
                     FitConfig(method="pca", clusters=(3, 3)))  # fmt: skip
    made = finish(reclustered(result, cube, regrouped(result, 5)))
    assert ((made.labels == 0) == (result.labels == 0)).all()


def test_locked_classes_hold_when_coherence_and_granularity_change(result, cube):
    kept, gone = result.tree[0].kept, result.tree[0].gone
    editing.lock(result, [gone]).do()
    for made in (finish(recohered(result, cube, 0.0)), coarser(result, 2 if len(result.tree) > 2 else 3)):
        assert (made.labels[result.labels == gone] == gone).all()
        assert made.info(gone).locked
    assert kept in [c.id for c in result.classes]
    with pytest.raises(ConfigError, match="cannot be had"):
        coarser(result, 1)
