"""Lanes: ways in which the steps of a round are taken, chosen for a training and recorded."""
