"""Sources, splits, batches, augmentation and corruptions."""
