"""Equipoise: train a network, ask whether it can be trusted, and answer with a number and an interval."""
