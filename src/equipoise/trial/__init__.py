"""Paired trials: does a treatment help on this plan, at equal cost, beyond chance?"""
