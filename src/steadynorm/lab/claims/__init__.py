"""The claims of the literature, a file each: what is said, how it is measured, what would confirm or refute it."""
