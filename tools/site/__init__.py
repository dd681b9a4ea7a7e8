"""The documentation site: what mkdocs asks while it builds."""
