"""A recording taken apart into its events."""
