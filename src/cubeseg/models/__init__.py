"""Networks and their losses: one file each."""
