"""The schema's history, for Alembic: ``versions`` holds one module per revision, ``env`` runs them.

A released revision is never edited. Write the next one by hand; a test shows that all of them together make what
``tables`` says.
"""
