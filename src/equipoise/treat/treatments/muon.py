"""Muon: the steps of hidden weight matrices are made orthogonal.

Source: Jordan et al., 2024; scaled as in Liu et al., 2025 (arXiv 2502.16982).
Benefit: all directions of a matrix are learned alike; often fewer steps than AdamW.
Cost: some matrix products a step, which small networks feel.
Interactions: biases, embeddings and the output layer go to AdamW.
"""

from equipoise.core.plan import Plan
from equipoise.treat.change import Change
from equipoise.treat.changing import with_optimizer


def swap(plan: Plan) -> Plan:
    """Return the plan with this optimiser at its usual rate."""
    return with_optimizer(plan, "muon")


TREATMENT = Change("muon", "use Muon", ("optimizer-choice", "underfitting", "wrong_optimizer"), swap)
