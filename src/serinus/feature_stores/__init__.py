"""Where the features of an entity come from, when a caller does not send them."""
