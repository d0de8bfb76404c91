"""Your own `nn.Module` inside a plan: trained, examined and saved like any other."""

from torch import Tensor, nn

import equipoise


class TwoPaths(nn.Module):
    """A dense network with a linear shortcut, for 13 inputs and 3 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.deep = nn.Sequential(nn.Linear(13, 16), nn.ReLU(), nn.Linear(16, 3))
        self.wide = nn.Linear(13, 3)

    def forward(self, inputs: Tensor) -> Tensor:
        """Return logits (n, 3)."""
        return self.deep(inputs) + self.wide(inputs)


def build() -> nn.Module:
    """Return the network; a plan names this function as `module:function`."""
    return TwoPaths()


if __name__ == "__main__":
    plan = equipoise.plan("wine", network="03_own_network:build")
    fit = equipoise.fit(plan.replace(network__standardise=True, recipe__epochs=30))
    report = equipoise.examine(fit, select=["accuracy", "overfitting", "calibration"])
    for finding in report.findings:
        print(f"{finding.verdict:<8} {finding.claim}")
