"""An affine map moved from a batch norm into its linear neighbours, or a bias from a linear layer into a batch norm."""
