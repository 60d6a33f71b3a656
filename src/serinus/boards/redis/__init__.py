"""The board on Redis."""

from serinus.boards.redis.board import RedisBoard, open_board

__all__ = ["RedisBoard", "open_board"]
