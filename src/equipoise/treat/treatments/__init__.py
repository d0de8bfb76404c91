"""The treatments, one file each."""
