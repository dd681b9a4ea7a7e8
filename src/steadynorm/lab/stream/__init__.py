"""Data that do not fit into memory: encoded images read in chunks, shuffled, decoded in processes, batched."""
