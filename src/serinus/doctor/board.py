"""The check of Redis: what it is, and whether it lets a board do what boards do."""

import statistics
import time
from typing import Any
from uuid import uuid4

from serinus.boards.redis.connection import Connection
from serinus.boards.redis.scripts import Script
from serinus.core.errors import Unavailable
from serinus.doctor.machine import amount
from serinus.doctor.reports import Report
from serinus.settings import ServerSettings

OLDEST_REDIS = (7, 0)
FAR_MS = 100.0
"""Round trip from which every command is felt to wait."""
TIMEOUT_S = 3.0

_ROUNDS = 5
_KEEP_MS = 10_000
_NEARLY_FULL = 0.9

_TRIAL = Script("""
redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3])
redis.call('PUBLISH', ARGV[1], ARGV[2])
return cjson.encode({redis.call('GET', KEYS[1])})
""")


async def check_redis(report: Report, settings: ServerSettings) -> bool:
    """Look at Redis; say whether a board can be opened on it."""
    connection = Connection(settings.redis_url, TIMEOUT_S)
    report.fact(f"at {connection.address}")
    try:
        await connection.command("PING")
        await _look_at(report, connection)
        await _try_out(report, connection, settings.redis_prefix)
    finally:
        await connection.close()
    return True


async def _look_at(report: Report, connection: Connection) -> None:
    taken = []
    for _ in range(_ROUNDS):
        started = time.perf_counter()
        await connection.command("PING")
        taken.append(1000 * (time.perf_counter() - started))
    latency_ms = statistics.median(taken)
    try:
        info: dict[str, Any] = await connection.command("INFO")
    except Unavailable:
        report.note("It does not tell of itself: INFO is refused.", "Allow INFO to the user of SERINUS_REDIS_URL.")
    else:
        _judge_version(report, info)
        _judge_memory(report, info)
        _judge_persistence(report, info)
    report.fact(f"round trip {latency_ms:.1f} ms")
    if latency_ms > FAR_MS:
        report.note(
            f"A round trip to it takes {latency_ms:.0f} ms, and every command and acknowledgement several.",
            "Put it near the gateways.",
        )


def _judge_version(report: Report, info: dict[str, Any]) -> None:
    version, valkey = str(info.get("redis_version", "")), info.get("valkey_version")
    report.facts.insert(0, f"Valkey {valkey}" if valkey else f"Redis {version}")
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if numbers < OLDEST_REDIS:
        report.wrong(
            f"Redis {version or 'of an unknown version'} is too old.", "Upgrade it to 7.0 or newer, or to Valkey."
        )
    if info.get("cluster_enabled"):
        report.wrong(
            "It is part of a Redis Cluster, which spreads the keys of a board over its nodes.",
            "Give a Redis of its own, with replicas if you like.",
        )
    if info.get("role") == "slave":
        report.wrong("It is a replica, which takes no writes.", "Set SERINUS_REDIS_URL to the primary.")


def _judge_memory(report: Report, info: dict[str, Any]) -> None:
    limit, used = int(info.get("maxmemory") or 0), int(info.get("used_memory") or 0)
    policy = str(info.get("maxmemory_policy") or "unknown")
    if limit and policy != "noeviction":
        report.note(
            f"It may hold {amount(limit)}, and drops keys when that is full (maxmemory-policy {policy}): splits and "
            "evidence among them, which are put up anew each time.",
            "Set maxmemory-policy to noeviction, or give Serinus a Redis of its own.",
        )
    if limit and used > _NEARLY_FULL * limit:
        report.note(
            f"It holds {amount(used)} of the {amount(limit)} that it may.",
            "Raise maxmemory, or see who else fills it.",
        )


def _judge_persistence(report: Report, info: dict[str, Any]) -> None:
    if info.get("loading"):
        report.wrong("It is still reading its data from disk.", "Wait until it has done.")
    if info.get("rdb_last_bgsave_status", "ok") != "ok":
        report.note(
            "Its last snapshot failed, and it may refuse writes for that (stop-writes-on-bgsave-error).",
            "Make room on its disk, and see its log.",
        )
    # What is lost with Redis is put up anew from the store, and by the gateways.
    report.fact("append-only file" if info.get("aof_enabled") else "no append-only file, none needed")


async def _try_out(report: Report, connection: Connection, prefix: str) -> None:
    """Write a key by a script, and hear of it, as boards do."""
    token = uuid4().hex
    key = channel = f"{prefix}doctor:{token}"
    async with connection.subscribed(channel) as next_message:
        await connection.run(_TRIAL, [key], [channel, token, str(_KEEP_MS)])
        heard = await next_message(TIMEOUT_S)
    await connection.command("DEL", key)
    if heard != token:
        report.wrong(
            "What is published on a channel of its own arrives changed.", "See that nothing else speaks on it."
        )
    report.fact("scripts and channels work")
