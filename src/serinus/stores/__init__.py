"""Where the truth is kept: the SQL adapter of the Store port."""
