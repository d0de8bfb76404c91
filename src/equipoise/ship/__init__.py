"""Export, with parity checked in the runtime that will serve."""
