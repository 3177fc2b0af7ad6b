"""What is done before it is needed, and what is not to be done at all."""

from __future__ import annotations

import importlib.util
import sys

import pytest

from napari_cubeseg import warming


@pytest.mark.parametrize(("mapped", "left_out"), [("/usr/lib/libLLVM.so.19.1", True), ("/usr/lib/libGLX.so.0", False)])
def test_triton_is_left_out_beside_the_llvm_of_opengl(monkeypatch, tmp_path, mapped, left_out):
    maps = tmp_path / "maps"
    maps.write_text(f"7f00-7f01 r--p 00000000 fe:00 1 {mapped}\n")
    monkeypatch.setattr(warming, "Path", lambda _: maps)
    monkeypatch.setitem(sys.modules, "triton", None)
    monkeypatch.delitem(sys.modules, "triton")
    warming.leave_triton_out.__wrapped__()
    assert ("triton" in sys.modules) == left_out
    if left_out:
        # as torch asks
        assert importlib.util.find_spec("triton") is None
        with pytest.raises(ImportError):
            import triton  # noqa: F401
