"""The types of job that come with the runner."""

from runner.workflows import removal

__all__ = ["removal"]
