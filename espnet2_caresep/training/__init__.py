"""How a system is trained: losses, batches, schedulers, trainer, validation."""
