"""The HTTP face of the runner, and its command line."""
