"""Reading, mixing and preparing audio for training and tests."""
