"""What is worth a trial although no finding asks for it."""

GENERAL = (
    "learning-rate-search",
    "one-cycle",
    "higher-step",
    "exponential-averaging",
    "batch-norm",
    "capacity-up",
    "cosine",
    "label-smoothing",
    "weight-decay",
    "adamw",
    "muon",
    "dropout",
    "smaller-batches",
    "lower-step",
    "warm-up",
    "mixup",
    "sam",
    "deep-ensemble",
)
"""Ids of treatments, by how often such a change helps where nothing is known to be wrong."""
