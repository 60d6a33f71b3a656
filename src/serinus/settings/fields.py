"""The settings of a server as one value, and what each of them, and all together, can be."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, SecretStr, field_serializer, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, PydanticBaseSettingsSource, SettingsConfigDict

from serinus.settings import addresses, mlflow_names, targets
from serinus.settings.addresses import Wrong, masked
from serinus.settings.files import PREFIX, SECRET_BEARING, SecretFiles

SHORTEST_KEY = 16
OF_S3 = ("s3_endpoint", "s3_region", "s3_access_key_id", "s3_secret_access_key")
"""The fields that mean nothing while model files are kept in a folder."""


@dataclass(frozen=True, slots=True)
class Clash:
    """Fields whose values cannot stand together; ``field`` is the one to name first."""

    field: str
    fields: frozenset[str]
    message: str
    remedy: str


class Clashing(ValueError):
    """Settings that are right one by one, and cannot be together."""

    def __init__(self, clashes: tuple[Clash, ...]) -> None:
        super().__init__(" ".join(clash.message for clash in clashes))
        self.clashes = clashes


class ServerSettings(BaseSettings):
    """What an operator can choose. Each field is the environment variable SERINUS_<NAME>; an empty one is unset."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX,
        env_ignore_empty=True,
        extra="ignore",
        frozen=True,
        hide_input_in_errors=True,
        allow_inf_nan=False,
    )

    home: Path = Field(Path(".serinus"), description="Folder of the embedded database, artifacts and keys")
    database_url: str = Field(
        "",
        repr=False,
        description="Where state is kept: sqlite:///PATH or postgresql://USER:PASSWORD@HOST/NAME; "
        "default: SQLite in the home",
    )
    redis_url: str = Field(
        "",
        repr=False,
        description="Where the live splits are kept: redis://, rediss:// or unix://; default: in this process, "
        "which is then the only one",
    )
    redis_prefix: str = Field("serinus:", description="What the names of all keys in Redis begin with")
    artifacts_url: str = Field(
        "", description="Where model files are kept: a folder or s3://BUCKET/PREFIX; default: a folder in the home"
    )
    s3_endpoint: str = Field(
        "",
        description="Address of an S3 server that is not Amazon's, as http://HOST:PORT; default: as AWS_ENDPOINT_URL "
        "says",
    )
    s3_region: str = Field("", description="Region of the bucket; default: as AWS_REGION says")
    s3_access_key_id: str = Field("", description="Access key of S3; default: as AWS_ACCESS_KEY_ID or the machine says")
    s3_secret_access_key: SecretStr = Field(
        SecretStr(""), description="Secret key of S3; default: as AWS_SECRET_ACCESS_KEY or the machine says"
    )
    artifact_cache_bytes: int = Field(
        10_737_418_240, ge=0, description="Room on this disk for copies of model files from S3, bytes; 0: none"
    )
    hash_key: SecretStr = Field(
        SecretStr(""),
        description="Key of the HMAC over logged inputs, 16 characters at least, the same for all gateways; "
        "default: made once, in the home",
    )
    workers: int = Field(1, ge=1, le=64, description="Processes that serve on this machine; more than one needs Redis")
    predict_timeout: float = Field(1.0, ge=0.01, le=600, description="Deadline of a prediction, seconds")
    runners: int = Field(1, ge=1, le=64, description="Processes that run each model version, for each worker")
    runner_batch: int = Field(64, ge=1, le=100_000, description="Rows that a model is asked for at once, at most")
    runner_memory: int = Field(
        4_294_967_296, ge=0, description="Memory that a model's process may take, bytes (Linux); 0: any"
    )
    runner_threads: int = Field(
        1, ge=1, le=256, description="Threads that native libraries (BLAS, OpenMP) use in a model's process"
    )
    runner_network: bool = Field(
        default=False, description="Let models use the network; else they have none, where the kernel allows that"
    )
    canary_niceness: int = Field(
        5, ge=0, le=19, description="How much a canary's processes let others have the processor first"
    )
    inline_onnx: bool = Field(
        default=False,
        description="Run ONNX models in the server's own process: soonest; one that hangs or crashes takes it along",
    )
    predictor_queue: int = Field(
        4096,
        ge=1,
        le=100_000,
        description="Requests that may wait for one model version; fewer may where they would wait for half of their "
        "deadline",
    )
    canary_lease: float = Field(
        15.0,
        ge=1,
        le=86_400,
        description="Seconds after which canaries lose their traffic when no checker judges them any more",
    )
    check_interval: float = Field(0.25, ge=0.05, le=3600, description="Seconds between rounds of health checks")
    evidence_interval: float = Field(0.25, ge=0.01, le=60, description="Seconds between reports of evidence")
    acknowledge_timeout: float = Field(
        2.0, ge=0, le=60, description="Seconds a command waits for gateways to take over its split"
    )
    load_timeout: float = Field(
        30.0,
        ge=0,
        le=600,
        description="Seconds a command waits for gateways that have to load a model before they take over its split",
    )
    drain_delay: float = Field(
        0.0,
        ge=0,
        le=300,
        description="Seconds that a server told to end goes on serving, not ready, so that load balancers turn away",
    )
    log_interval: float = Field(0.25, ge=0.005, le=60, description="Seconds between batches of the prediction log")
    journal_bytes: int = Field(
        1_073_741_824,
        ge=4096,
        description="Bytes of logged predictions that may wait on disk for the database, for each worker; more are "
        "dropped, counted",
    )
    journal_fsync: bool = Field(
        default=False, description="Answer only when the disk has what is logged for good: it outlives a loss of power"
    )
    max_request_bytes: int = Field(1_048_576, ge=1024, description="Largest prediction request or command, bytes")
    max_rows: int = Field(1000, ge=1, le=100_000, description="Rows that a request for predictions may have")
    max_artifact_bytes: int = Field(1_073_741_824, ge=1024, description="Largest model file, bytes")
    allow_pickle: bool = Field(
        default=False, description="Load joblib and pickle files, which can run any code as this server"
    )
    allow_torchscript: bool = Field(
        default=False, description="Load TorchScript files, which can read and write files as this server"
    )
    trusted_types: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Further types, comma-separated, that a skops file may hold"
    )
    remote_models: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Where engines of remote versions may be, comma-separated: hosts, HOST:PORT or beginnings of URLs",
    )
    remote_tokens: SecretStr = Field(
        SecretStr(""),
        description="What engines are shown as bearer tokens, comma-separated: PLACE=TOKEN, places as those above",
    )
    remote_concurrency: int = Field(
        32, ge=1, le=10_000, description="Requests under way at once for each remote version; more wait in its queue"
    )
    feast_url: str = Field("", description="Address of a Feast feature server; default: no features are looked up")
    feast_timeout: float = Field(0.2, ge=0.005, le=60, description="Deadline of a feature lookup, seconds")
    feast_ttl: float = Field(1.0, ge=0, le=86_400, description="Seconds that looked-up features are used again; 0: not")
    webhook_urls: SecretStr = Field(
        SecretStr(""), description="Addresses, comma-separated, that each event is posted to as a signed CloudEvent"
    )
    webhook_secret: SecretStr = Field(
        SecretStr(""),
        description="Signs what is posted to webhooks: whsec_ and base64; several, comma-separated, while it changes",
    )
    notify_urls: SecretStr = Field(
        SecretStr(""), description="Where people are told, comma-separated, as Apprise writes it: slack://…, mailto://…"
    )
    notify_kinds: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(),
        description="Kinds of events, comma-separated, that people are told of; default: what somebody may have to see",
    )
    openlineage_url: str = Field(
        "", description="Server that is told of rollouts in OpenLineage, as http://HOST:PORT; default: none"
    )
    openlineage_namespace: str = Field("serinus", description="Namespace of jobs and datasets in OpenLineage")
    mlflow_tracking_uri: str = Field(
        "",
        description="MLflow server whose versions get aliases and tags by what becomes of them here, as "
        "http://HOST:PORT; default: none",
    )
    mlflow_champion: str = Field(
        "champion", description="Alias in MLflow of the baseline after a promotion; {deployment}: the deployment's name"
    )
    mlflow_challenger: str = Field("challenger", description="Alias in MLflow of the canary while it runs; likewise")
    log_format: Literal["auto", "json", "text"] = Field("auto", description="Messages on stderr: auto, json or text")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - the library's name for what is not wanted here
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - likewise
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take what is given in the call first, then files that are named, then variables; nothing else."""
        return init_settings, SecretFiles(settings_cls), env_settings

    @field_validator(*SECRET_BEARING, mode="before")
    @classmethod
    def _read_from_file(cls, value: object) -> object:
        if isinstance(value, Wrong):
            raise value
        return value

    @field_validator("database_url")
    @classmethod
    def _is_database(cls, value: str) -> str:
        return addresses.checked_database(value) if value else value

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, value: str) -> str:
        return addresses.checked_redis(value) if value else value

    @field_validator("redis_prefix")
    @classmethod
    def _is_prefix(cls, value: str) -> str:
        return addresses.checked_prefix(value)

    @field_validator("artifacts_url")
    @classmethod
    def _is_place_of_artifacts(cls, value: str) -> str:
        return addresses.checked_artifacts(value) if value else value

    @field_validator("s3_endpoint")
    @classmethod
    def _is_endpoint(cls, value: str) -> str:
        return addresses.checked_endpoint(value) if value else value

    @field_validator("remote_models", mode="before")
    @classmethod
    def _are_places(cls, value: object) -> object:
        if not isinstance(value, str):
            return value
        return [addresses.checked_engine(part.strip()) for part in value.split(",") if part.strip()]

    @field_validator("remote_tokens")
    @classmethod
    def _are_tokens(cls, value: SecretStr) -> SecretStr:
        addresses.check_engine_tokens(value.get_secret_value())
        return value

    @field_validator("feast_url")
    @classmethod
    def _is_feature_server(cls, value: str) -> str:
        return addresses.checked_feature_server(value) if value else value

    @field_validator("trusted_types", "notify_kinds", mode="before")
    @classmethod
    def _split_types(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("webhook_urls")
    @classmethod
    def _are_webhooks(cls, value: SecretStr) -> SecretStr:
        targets.check_web_addresses(value.get_secret_value(), "a webhook")
        return value

    @field_validator("webhook_secret")
    @classmethod
    def _can_sign(cls, value: SecretStr) -> SecretStr:
        targets.check_secrets(value.get_secret_value())
        return value

    @field_validator("notify_urls")
    @classmethod
    def _are_addresses(cls, value: SecretStr) -> SecretStr:
        targets.check_notify_addresses(value.get_secret_value())
        return value

    @field_validator("notify_kinds")
    @classmethod
    def _are_kinds(cls, value: frozenset[str]) -> frozenset[str]:
        targets.check_kinds(value)
        return value

    @field_validator("openlineage_url")
    @classmethod
    def _takes_lineage(cls, value: str) -> str:
        return addresses.checked_lineage_server(value) if value else value

    @field_validator("mlflow_tracking_uri")
    @classmethod
    def _is_tracking_server(cls, value: str) -> str:
        return mlflow_names.checked_tracking_server(value) if value else value

    @field_validator("mlflow_champion", "mlflow_challenger")
    @classmethod
    def _is_alias(cls, value: str) -> str:
        return mlflow_names.checked_alias(value)

    @field_validator("hash_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < SHORTEST_KEY:
            raise Wrong(
                f"it should have {SHORTEST_KEY} characters at least",
                "Make one with `openssl rand -hex 32`, and give it to every gateway of this database.",
            )
        return value

    @model_validator(mode="after")
    def _can_stand_together(self) -> Self:
        clashes = tuple(_clashes(self))
        if clashes:
            raise Clashing(clashes)
        return self

    @field_serializer("database_url", "redis_url")
    def _without_password(self, value: str) -> str:
        return masked(value)

    @property
    def is_embedded(self) -> bool:
        """Whether the live splits are in this process, which then has to be the only one."""
        return not self.redis_url

    @property
    def database(self) -> str:
        """The database's URL."""
        return self.database_url or f"sqlite:///{(self.home / 'serinus.db').absolute()}"

    @property
    def artifacts(self) -> str:
        """The place of model files."""
        return self.artifacts_url or str((self.home / "artifacts").absolute())


def _clashes(settings: ServerSettings) -> Iterator[Clash]:
    """Find what cannot stand together."""
    if settings.canary_lease < 2 * settings.check_interval:
        yield Clash(
            "canary_lease",
            frozenset({"canary_lease", "check_interval"}),
            f"SERINUS_CANARY_LEASE is {settings.canary_lease:g}, and SERINUS_CHECK_INTERVAL is "
            f"{settings.check_interval:g}: canaries would lose their traffic between two rounds of checks.",
            f"Set SERINUS_CANARY_LEASE to {2 * settings.check_interval:g} at least, or SERINUS_CHECK_INTERVAL to "
            f"{settings.canary_lease / 2:g} at most.",
        )
    if settings.workers > 1 and settings.is_embedded:
        yield Clash(
            "workers",
            frozenset({"workers", "redis_url"}),
            f"SERINUS_WORKERS is {settings.workers}, and SERINUS_REDIS_URL is not set: the embedded board lives in one "
            "process, and no other worker would see it.",
            "Set SERINUS_REDIS_URL, or leave SERINUS_WORKERS at 1.",
        )
    if settings.redis_url and not settings.hash_key.get_secret_value():
        yield Clash(
            "hash_key",
            frozenset({"hash_key", "redis_url"}),
            "SERINUS_REDIS_URL is set, and SERINUS_HASH_KEY is not: each gateway would make a key of its own, route "
            "entities its own way, and write hashes into the log that match no other gateway's.",
            "Make a key with `openssl rand -hex 32`, and give it to every gateway in SERINUS_HASH_KEY or a file.",
        )
    if settings.webhook_urls.get_secret_value() and not settings.webhook_secret.get_secret_value():
        yield Clash(
            "webhook_secret",
            frozenset({"webhook_urls", "webhook_secret"}),
            "SERINUS_WEBHOOK_URLS is set, and SERINUS_WEBHOOK_SECRET is not: nobody could tell what is posted there "
            "from what anybody else posts.",
            'Make one with `echo "whsec_$(openssl rand -base64 32)"`, and give it to the receivers as well.',
        )
    if settings.mlflow_champion == settings.mlflow_challenger:
        yield Clash(
            "mlflow_challenger",
            frozenset({"mlflow_champion", "mlflow_challenger"}),
            f"SERINUS_MLFLOW_CHAMPION and SERINUS_MLFLOW_CHALLENGER are both {settings.mlflow_champion!r}: one alias "
            "cannot name two versions.",
            "Give them different names.",
        )
    if bool(settings.s3_access_key_id) != bool(settings.s3_secret_access_key.get_secret_value()):
        given, missing = "SERINUS_S3_ACCESS_KEY_ID", "SERINUS_S3_SECRET_ACCESS_KEY"
        if not settings.s3_access_key_id:
            given, missing = missing, given
        yield Clash(
            missing.removeprefix(PREFIX).lower(),
            frozenset({"s3_access_key_id", "s3_secret_access_key"}),
            f"{given} is set, and {missing} is not: the two belong together.",
            "Set both, or none of them to use AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY or the machine's role.",
        )
    idle = [name for name in OF_S3 if str(getattr(settings, name))]
    if idle and not settings.artifacts.startswith("s3://"):
        names = ", ".join(PREFIX + name.upper() for name in idle)
        yield Clash(
            "artifacts_url",
            frozenset({"artifacts_url", *idle}),
            f"{names} {'is' if len(idle) == 1 else 'are'} set, and SERINUS_ARTIFACTS_URL names no place in S3: model "
            "files would be kept in a folder of this machine.",
            f"Set SERINUS_ARTIFACTS_URL to s3://BUCKET/PREFIX, or unset {names}.",
        )
