"""What an import costs: ours beside `sqlite3 .import` of the same file."""
