"""The failure cases of a fleet."""
