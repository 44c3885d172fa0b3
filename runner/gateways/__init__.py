"""The ways to a group: variants of ``runner.gateway``."""
