"""Every setting of a server, read from SERINUS_* in the environment."""

from pathlib import Path
from typing import Annotated, Self

from pydantic import Field, SecretStr, ValidationError, field_validator, model_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from serinus.core.errors import InvalidInput

PREFIX = "SERINUS_"
SHORTEST_KEY = 16


class ServerSettings(BaseSettings):
    """What an operator can choose. Each field is the environment variable SERINUS_<NAME>."""

    model_config = SettingsConfigDict(env_prefix=PREFIX, extra="ignore", frozen=True, hide_input_in_errors=True)

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
    redis_prefix: str = Field(
        "serinus:", pattern=r"^[!-~]{1,64}$", description="What the names of all keys in Redis begin with"
    )
    artifacts_url: str = Field(
        "", description="Where model files are kept: a folder or s3://BUCKET/PREFIX; default: a folder in the home"
    )
    s3_endpoint: str = Field("", description="Address of an S3 server that is not Amazon's, as http://HOST:PORT")
    s3_region: str = Field("", description="Region of the bucket; default: as AWS_REGION says")
    s3_access_key_id: str = Field("", description="Access key of S3; default: as AWS_ACCESS_KEY_ID or the machine says")
    s3_secret_access_key: SecretStr = Field(SecretStr(""), description="Secret key of S3; default: likewise")
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
    predictor_threads: int = Field(2, ge=1, le=64, description="Threads for each model version")
    predictor_queue: int = Field(256, ge=1, le=100_000, description="Requests that may wait for one model version")
    canary_lease: float = Field(
        15.0,
        ge=1,
        le=86_400,
        description="Seconds after which canaries lose their traffic when no checker judges them any more",
    )
    check_interval: float = Field(1.0, ge=0.05, le=3600, description="Seconds between rounds of health checks")
    evidence_interval: float = Field(0.25, ge=0.01, le=60, description="Seconds between reports of evidence")
    acknowledge_timeout: float = Field(
        2.0, ge=0, le=60, description="Seconds a command waits for gateways to take over its split"
    )
    drain_delay: float = Field(
        0.0,
        ge=0,
        le=300,
        description="Seconds that a server told to end goes on serving, not ready, so that load balancers turn away",
    )
    log_interval: float = Field(0.1, ge=0.005, le=60, description="Seconds between batches of the prediction log")
    log_limit: int = Field(
        100_000,
        ge=1,
        le=10_000_000,
        description="Predictions that may wait for the database; more are dropped, counted",
    )
    max_request_bytes: int = Field(1_048_576, ge=1024, description="Largest prediction request or command, bytes")
    max_artifact_bytes: int = Field(1_073_741_824, ge=1024, description="Largest model file, bytes")
    allow_pickle: bool = Field(
        default=False, description="Load joblib and pickle files, which can run any code as this server"
    )
    trusted_types: Annotated[frozenset[str], NoDecode] = Field(
        frozenset(), description="Further types, comma-separated, that a skops file may hold"
    )
    log_format: str = Field("auto", pattern="^(auto|json|text)$", description="Messages on stderr: auto, json or text")

    @field_validator("trusted_types", mode="before")
    @classmethod
    def _split_types(cls, value: object) -> object:
        return [part.strip() for part in value.split(",") if part.strip()] if isinstance(value, str) else value

    @field_validator("hash_key")
    @classmethod
    def _long_enough(cls, value: SecretStr) -> SecretStr:
        if value.get_secret_value() and len(value.get_secret_value()) < SHORTEST_KEY:
            raise ValueError("it should have 16 characters at least")
        return value

    @model_validator(mode="after")
    def _lease_outlasts_rounds(self) -> Self:
        if self.canary_lease < 2 * self.check_interval:
            raise ValueError(
                f"canary_lease is {self.canary_lease:g} s, and checks come every {self.check_interval:g} s: it should be "
                "twice as long at least, or canaries lose their traffic between two rounds"
            )
        return self

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


def read_settings(**chosen: object) -> ServerSettings:
    """Read the settings; what is ``chosen`` and not None goes before the environment.

    Raises:
        InvalidInput: it names the variable, its value and what it should be.
    """
    try:
        return ServerSettings(**{name: value for name, value in chosen.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as wrong:
        first = wrong.errors(include_url=False)[0]
        name = PREFIX + str(first["loc"][0]).upper() if first["loc"] else PREFIX + "*"
        secret = name.endswith("_KEY")
        value = "" if secret else f" is {first.get('input')!r}"
        raise InvalidInput(
            f"{name}{value}: {first['msg'].removeprefix('Value error, ')}.",
            field=name,
            remedy="Correct it or leave it unset for the default.",
        ) from wrong
