"""Which modules act differently in training and in evaluation mode."""

from torch import nn

_DROPOUT = (
    nn.Dropout,
    nn.Dropout1d,
    nn.Dropout2d,
    nn.Dropout3d,
    nn.AlphaDropout,
    nn.FeatureAlphaDropout,
    nn.RReLU,
)
_NORMALISING = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
)


def depends_on_mode(module: nn.Module) -> bool:
    """Whether a module itself acts differently in training mode: dropout that drops, statistics that are tracked."""
    if isinstance(module, _DROPOUT):
        return float(getattr(module, "p", 1.0)) > 0
    if isinstance(module, _NORMALISING):
        return bool(getattr(module, "track_running_stats", False))
    if isinstance(module, nn.RNNBase):
        return module.dropout > 0 and module.num_layers > 1
    if isinstance(module, nn.MultiheadAttention):
        return module.dropout > 0
    return False


def is_dropout(module: nn.Module) -> bool:
    """Whether a module drops values at random in training mode."""
    return isinstance(module, _DROPOUT) or (depends_on_mode(module) and isinstance(module, nn.MultiheadAttention))
