"""Settings and texts: what every part of the package uses."""
