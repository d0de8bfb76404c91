"""Trainings that plans describe, as plain loops that probes and diagnoses can run."""
