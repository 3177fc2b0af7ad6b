"""What tests of the viewer's state share."""

from __future__ import annotations

import numpy as np

from cubeseg import FitConfig

QUICK = FitConfig(method="pca", clusters=(6, 6))


def check_spectra(session):
    """What the plot shows must equal what the layer holds."""
    result, data = session.result, session.cube.block(slice(None), slice(None)).data
    assert (result.labels == session.labels_layer.data).all()
    for info in result.classes:
        mine = data[:, session.labels_layer.data == info.id].astype(float)
        assert result.pixels(info.id) == mine.shape[1]
        if mine.shape[1]:
            np.testing.assert_allclose(result.spectra.mean(info.id), mine.mean(axis=1), atol=1e-9)


def paint(layer, rows, columns, label):
    """One undoable stroke."""
    at = np.meshgrid(np.arange(*rows), np.arange(*columns), indexing="ij")
    layer.data_setitem(tuple(a.ravel() for a in at), label)


def slide(session, what, value):
    """Move a slider of the Classes panel and let it go."""
    session.adjustments.begin()
    getattr(session.adjustments, what)(value)
    session.adjustments.release()


def run_job(job):
    """Run a job that a test kept from running."""
    make, _, on_event, on_done, *_ = job
    steps = make()
    while True:
        try:
            on_event(next(steps))
        except StopIteration as stop:
            on_done(stop.value)
            return
