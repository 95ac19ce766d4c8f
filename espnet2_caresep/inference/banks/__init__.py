"""Query banks: several examples of one sound under a name."""
