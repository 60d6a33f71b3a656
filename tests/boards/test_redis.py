"""What the board on Redis does beyond the contract: many processes on one Redis, and whatever is found there."""

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from redis import Redis as Client
from tests.boards.conftest import OpenBoard
from tests.boards.watching import CUT, PATIENCE_S, Told, eventually, evidence, reading, split

from serinus.boards.redis import RedisBoard
from serinus.core.errors import Deposed
from serinus.core.records import EvidenceReport
from serinus.core.routing import Split

GARBAGE: dict[str, Any] = {
    "text": lambda client, key: client.set(key, "garbage"),
    "a list": lambda client, key: client.rpush(key, "garbage"),
    "a hash": lambda client, key: client.hset(key, mapping={b"\xff\xfe": b"\xc3\x28\x00", "fraud": "[", "": "{}"}),
    "a set": lambda client, key: client.sadd(key, "garbage", b"\xff"),
    "a sorted set": lambda client, key: client.zadd(key, {"garbage": 1}),
}
KEYS = ("splits", "lease", "term", "gateways", "gateway:garbage", "evidence:fraud:1")


def following(board: RedisBoard, name: str) -> Told:
    """A gateway that acknowledges whatever it is told."""
    told = Told()
    keep = told.__call__

    class Following(Told):
        def __call__(self, deployment: str, raw: object) -> None:
            keep(deployment, raw)
            super().__call__(deployment, raw)
            taken = Split.decoded(raw)
            if taken is not None:
                board.acknowledge(name, deployment, taken.stamp)

    return Following()
