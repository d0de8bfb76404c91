"""Questions about how well the network does on samples it has not seen."""
