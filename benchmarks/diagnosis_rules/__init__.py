"""The published rules of other tools, re-implemented on plain PyTorch to run on the same programs as Equipoise."""
