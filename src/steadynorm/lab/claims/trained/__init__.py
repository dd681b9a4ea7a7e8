"""Networks trained at the literature's size, each arm at the best rate of its own grid."""
