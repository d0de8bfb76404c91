"""Records: frozen, JSON-able, without tensors. Everything that crosses a seam as plain data lives here."""
