"""The training history: recorded at bounded cost, written while training."""
