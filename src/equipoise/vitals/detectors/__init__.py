"""Streaming detectors: what the vital signs say is wrong, each with a stated error rate over a whole training."""
