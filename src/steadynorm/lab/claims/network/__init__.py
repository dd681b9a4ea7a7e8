"""The paper's network and frozen batch norm in networks: its size, and folding."""
