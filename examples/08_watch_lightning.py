"""The vital signs of a PyTorch Lightning training: one callback. Needs `pip install 'equipoise[lightning]'`."""

import tempfile

import pytorch_lightning as lightning
import torch
from sklearn.datasets import load_digits
from torch import Tensor, nn
from torch.utils.data import DataLoader, TensorDataset

from equipoise.vitals.adapters.lightning import WatchCallback


class Digits(lightning.LightningModule):
    """A dense network on 8x8 digits."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))

    def training_step(self, batch: tuple[Tensor, Tensor]) -> Tensor:
        """Return the loss of one batch."""
        inputs, targets = batch
        return nn.functional.cross_entropy(self.body(inputs), targets)

    def configure_optimizers(self) -> torch.optim.Optimizer:
        """Return Adam."""
        return torch.optim.Adam(self.parameters(), lr=1e-3)


digits = load_digits()
data = TensorDataset(torch.tensor(digits.data, dtype=torch.float32) / 16, torch.tensor(digits.target))
watching = WatchCallback()
with tempfile.TemporaryDirectory() as folder:
    trainer = lightning.Trainer(
        accelerator="cpu",
        max_epochs=3,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        default_root_dir=folder,
        callbacks=[watching],
    )
    trainer.fit(Digits(), DataLoader(data, batch_size=64, shuffle=True))

for vital in watching.vitals.history.vitals():
    if vital.name in ("loss", "gradient_norm", "weight_update_ratio"):
        print(f"{vital.name:<20} {vital.part:<14} second step {vital.values[1]:.4f}, last {vital.values[-1]:.4f}")
for symptom in watching.vitals.symptoms():
    print(f"{symptom.verdict}: {symptom.claim}")
