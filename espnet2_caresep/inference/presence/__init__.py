"""Whether the wanted sound is there at all."""
