"""Audio as it comes and goes: arrays and files, whole or block by block."""
