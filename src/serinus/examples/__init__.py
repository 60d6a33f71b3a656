"""Complete examples, each to be run as it is."""
