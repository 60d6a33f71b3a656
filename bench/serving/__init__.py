"""How fast Serinus answers predictions, next to other servers with the same model, and to the limit."""
