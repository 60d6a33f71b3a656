"""Which adapters the settings of a server ask for, and what all servers of a store have to have in common."""

import socket
from collections.abc import Callable
from urllib.parse import parse_qsl, urlsplit

from serinus.accord import Common
from serinus.artifacts import CachedArtifacts, ObjectArtifacts, S3Access, open_artifacts
from serinus.boards.memory import MemoryBoard
from serinus.core.errors import InvalidInput
from serinus.feature_stores.feast import FeastFeatures
from serinus.hashing import HashKey
from serinus.home import JOURNALS
from serinus.journal import FileJournals
from serinus.ports import Artifacts, Board
from serinus.settings import ServerSettings


def features_for(settings: ServerSettings) -> FeastFeatures | None:
    """Give the feature store, if there is one."""
    if not settings.feast_url:
        return None
    return FeastFeatures(settings.feast_url, timeout_s=settings.feast_timeout, ttl_s=settings.feast_ttl)


def journals_for(settings: ServerSettings, store: str, boot: str, *, on_trouble: Callable[[str], None]) -> FileJournals:
    """Give the journals of a process, by its boot, for a store, by its identity."""
    return FileJournals(
        settings.home / JOURNALS,
        store,
        boot,
        limit=settings.journal_bytes,
        on_trouble=on_trouble,
        durable=settings.journal_fsync,
    )


def board_for(
    settings: ServerSettings, *, on_trouble: Callable[[str], None], on_recovery: Callable[[str], None]
) -> Board:
    """Give the board, which is yet to be reached; InvalidInput where its library is missing."""
    if settings.is_embedded:
        return MemoryBoard()
    try:
        from serinus.boards.redis import open_board
    except ImportError as missing:
        raise InvalidInput(
            "A board on Redis needs the library redis, which is not installed.",
            field="SERINUS_REDIS_URL",
            remedy="pip install 'serinus[redis]'",
        ) from missing
    return open_board(settings.redis_url, prefix=settings.redis_prefix, on_trouble=on_trouble, on_recovery=on_recovery)


def uncached_artifacts(settings: ServerSettings) -> ObjectArtifacts:
    """Open the artifact store itself, without the cache in front of it; raises what ``open_artifacts`` does."""
    access = S3Access(
        endpoint=settings.s3_endpoint,
        region=settings.s3_region,
        access_key_id=settings.s3_access_key_id,
        secret_access_key=settings.s3_secret_access_key.get_secret_value(),
    )
    return open_artifacts(settings.artifacts, access)


def artifacts_for(settings: ServerSettings, *, on_trouble: Callable[[str], None]) -> Artifacts:
    """Open the artifact store, one far away with a cache on this disk; raises what ``open_artifacts`` does."""
    store = uncached_artifacts(settings)
    if not settings.artifacts.startswith("s3://") or not settings.artifact_cache_bytes:
        return store
    return CachedArtifacts(
        store, settings.home / "artifact-cache", settings.artifact_cache_bytes, on_trouble=on_trouble
    )


# -------------------------------------------------------------------------------------- in common


def common_board(settings: ServerSettings) -> Common:
    """Say on which board a server with these settings is."""
    if settings.is_embedded:
        ours = f"the embedded board of {socket.gethostname()}:{settings.home.absolute()}"
    else:
        redis = urlsplit(settings.redis_url)
        number = dict(parse_qsl(redis.query)).get("db") or (redis.path.strip("/") if redis.scheme != "unix" else "")
        ours = f"Redis, database {number or 0}, keys {settings.redis_prefix}*"
    return Common(
        lease="board",
        ours=ours,
        others="The servers of this store are on another board: {}.",
        field="SERINUS_REDIS_URL",
        remedy="An embedded board lives in one process and serves no other one: set SERINUS_REDIS_URL and "
        "SERINUS_REDIS_PREFIX, the same for all servers of a database, or stop the other servers first.",
        alone=settings.is_embedded,
    )


def common_key(settings: ServerSettings) -> Common:
    """Say with which of all keys a gateway with these settings hashes."""
    return Common(
        lease="hash key",
        ours=HashKey(settings.hash_key.get_secret_value().encode()).id,
        others="The gateways of this store hash with another key: its id is {}.",
        field="SERINUS_HASH_KEY",
        remedy="Give all gateways of a database the same SERINUS_HASH_KEY: they route entities and hash inputs by it. "
        "To change it for good, stop all gateways first.",
    )
