"""One kind of normalization made into another, in place; freezing is one such."""
