"""What sounds, and when."""
