"""One module per revision, named after its number."""
