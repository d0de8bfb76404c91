"""Questions about the data that the network learned from."""
