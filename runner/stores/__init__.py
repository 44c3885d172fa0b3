"""The store on SQLAlchemy Core: SQLite and PostgreSQL with the same code."""
