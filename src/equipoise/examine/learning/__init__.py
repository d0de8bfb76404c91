"""Questions about how the network learned and what its units do."""
