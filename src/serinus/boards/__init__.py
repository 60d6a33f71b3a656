"""Boards: where every gateway sees the split, and every checker the evidence."""
