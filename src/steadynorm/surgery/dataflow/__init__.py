"""Who produces and who consumes each tensor of a model: the one home of tracing."""
