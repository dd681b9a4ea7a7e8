"""Population statistics taken anew over data, on one process or many."""
