"""Batch norms whose statistics are of all processes, and running statistics that processes agree on."""
