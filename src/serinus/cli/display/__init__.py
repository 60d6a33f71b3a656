"""How documents of the API look in a terminal. Imports rich, so only commands that print a table import it."""
