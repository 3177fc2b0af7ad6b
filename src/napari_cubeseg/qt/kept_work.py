"""The offer to bring back work on a cube that was not exported."""

from __future__ import annotations

from qtpy.QtWidgets import QFrame, QGridLayout, QLabel, QPushButton, QWidget

from napari_cubeseg.session import Session

__all__ = ["KeptWork"]


class KeptWork(QFrame):
    """Seen only while there is such work."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session = session
        self.setFrameShape(QFrame.Shape.StyledPanel)
        self._text = QLabel(self)
        self._text.setWordWrap(True)
        back = QPushButton("Bring it back", self)
        back.setObjectName("cubeseg.cube.kept")
        back.setToolTip("Open the classes with everything that was done by hand")
        back.clicked.connect(session.autosave.bring_back)
        away = QPushButton("Discard", self)
        away.setObjectName("cubeseg.cube.discard")
        away.setToolTip("Throw it away; this cannot be undone")
        away.clicked.connect(session.autosave.discard)
        layout = QGridLayout(self)
        layout.addWidget(self._text, 0, 0, 1, 2)
        layout.addWidget(back, 1, 0)
        layout.addWidget(away, 1, 1)
        session.autosave.offer_changed.connect(self._refresh)
        self._refresh()

    def _refresh(self) -> None:
        offer = self._session.autosave.offer
        self.setVisible(offer is not None)
        if offer is not None:
            self._text.setText(f"Work on this cube from {offer.when:%d %B, %H:%M} was kept; it had not been exported.")
