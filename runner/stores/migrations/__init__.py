"""Migrations: how a database on disk comes up to date. Added, never edited once released."""
