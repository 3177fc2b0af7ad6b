"""The Qt panels: thin, one file each; they show the session and turn gestures into its requests."""
