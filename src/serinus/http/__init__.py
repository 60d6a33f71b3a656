"""The HTTP face: a control plane in FastAPI, and a lean route for predictions in front of it."""
