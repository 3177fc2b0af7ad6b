"""What a run was: its options in writing, its circumstances, the content of its input, what was done by hand."""
