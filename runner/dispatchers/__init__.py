"""The ways of deciding where a job runs."""
