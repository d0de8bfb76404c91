"""Tensors that several processes write into one folder, each its own part, and any number of them reads."""

import warnings
from pathlib import Path

import torch
from torch import Tensor


def write_shards(tensors: dict[str, Tensor], folder: Path) -> None:
    """Write tensors, some of them divided among processes; all of these call it.

    A checkpoint of `torch.distributed.checkpoint` in safetensors files: nothing is pickled.

    Raises:
        OSError: The disk is full or the folder cannot be written in one of the processes.
    """
    # Not at the top: it takes a while to import, and only such checkpoints need it.
    from torch.distributed import checkpoint

    writer = checkpoint.HuggingFaceStorageWriter(str(folder), save_distributed=True)
    plain = {name: tensor.detach() for name, tensor in tensors.items()}
    try:
        checkpoint.save(plain, storage_writer=writer)
    except checkpoint.CheckpointException as problem:
        reasons = "; ".join(dict.fromkeys(str(one[0]) for one in problem.failures.values()))
        raise OSError(
            f"got a folder {folder} into which not all processes could write ({reasons}); expected one that all reach. "
            "Free some space, or choose a folder on a disk that the machines share."
        ) from problem


def read_shards(folder: Path) -> dict[str, Tensor]:
    """Return tensors that `write_shards` wrote, put together.

    Raises:
        ValueError: A file is damaged or missing.
    """
    from torch.distributed import checkpoint

    try:
        reader = checkpoint.HuggingFaceStorageReader(str(folder))
        found = reader.read_metadata().state_dict_metadata
        tensors = {
            name: torch.empty(one.size, dtype=one.properties.dtype)
            for name, one in found.items()
            if isinstance(one, checkpoint.TensorStorageMetadata)
        }
        with warnings.catch_warnings():  # it says that one process reads, which is meant
            warnings.simplefilter("ignore", UserWarning)
            checkpoint.load(tensors, storage_reader=reader, no_dist=True)
    except (checkpoint.CheckpointException, KeyError, AssertionError) as problem:
        raise ValueError(
            f"{folder}: got files that do not fit together ({problem}); expected those of one checkpoint. Restore them."
        ) from problem
    return tensors
