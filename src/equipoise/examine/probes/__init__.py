"""Experiments on a training before its first step; each leaves network, optimiser and random state as found."""
