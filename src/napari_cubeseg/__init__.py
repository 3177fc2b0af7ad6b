"""The napari plugin: shows cubeseg objects, turns gestures into cubeseg calls."""
