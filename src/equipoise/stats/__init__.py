"""Intervals, scores, exact paired tests and multiplicity: what a number is worth. No torch."""
