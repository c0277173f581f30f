"""Every setting of the hub: a flag (``--part-nbytes``), a variable (``FREEBITS_PART_NBYTES``), a line in a TOML file.

Flags win over variables, variables over the file. All are checked once, at the start; an unknown key in the
file or an unknown flag is refused. What each means is its description here, shown by ``freebits serve
--help``.
"""

from __future__ import annotations

import argparse
import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

MIB = 1 << 20
ENV_PREFIX = "FREEBITS_"


class InvalidSettings(ValueError):
    """The settings cannot be used; the message names each bad one and where it may be set."""


class Settings(BaseSettings):
    """The settings of one hub process, read once."""

    model_config = SettingsConfigDict(env_prefix=ENV_PREFIX, extra="forbid", frozen=True)

    host: str = Field("127.0.0.1", description="address to listen on")
    port: int = Field(8000, ge=0, le=65535, description="port to listen on; 0 takes a free one")
    data: Path = Field(Path(".data/hub"), description="folder of the database and the objects")
    public_url: str = Field("", description="how clients reach the hub; printed and used in links (default: host:port)")
    database_url: str = Field("", description="postgresql://... or another URL (default: SQLite in the data folder)")
    database_connections: int = Field(20, ge=2, le=1000, description="most connections of one process to Postgres")
    database_timeout_s: float = Field(60, gt=0, description="a statement on Postgres is given up after, seconds")
    engine_url: str = Field("", description="database of the job engine (default: `database_url`, or SQLite in `data`)")
    engine_schema: str = Field("dbos", pattern=r"^[a-z_][a-z0-9_]{0,62}$", description="its schema on Postgres")
    migrate: bool | None = Field(
        None, description="bring the database to this release's tables at the start (default: only SQLite in `data`)"
    )
    admin_token: SecretStr = Field(SecretStr(""), description="the admin's token (default: made at the first start)")

    max_file_nbytes: int = Field(1 << 44, gt=0, description="largest file that is taken, bytes")
    max_json_nbytes: int = Field(64 * MIB, gt=0, description="largest JSON request, bytes")
    max_commit_operations: int = Field(100_000, gt=0, description="most files one commit may touch")
    part_nbytes: int = Field(16 * MIB, ge=64 * 1024, le=1 << 30, description="size of an upload's parts, bytes")
    min_free_nbytes: int = Field(64 * MIB, ge=0, description="uploads that would leave less free disk are refused")
    upload_ttl_s: float = Field(7 * 86400, gt=0, description="an upload nobody completes is dropped after, seconds")
    grace_s: float = Field(3600, ge=0, description="unreferenced objects are kept for, seconds")
    collect_interval_s: float = Field(300, gt=0, description="time between two collections, seconds")
    orphan_interval_s: float = Field(86400, gt=0, description="the whole store is listed for orphans once in, seconds")
    delete_grace_s: float = Field(7 * 86400, ge=0, description="deleted repos and refs can come back for, seconds")

    s3_bucket: str = Field("", description="bucket of the objects (default: they are in the data folder)")
    s3_prefix: str = Field("", description="put before each key, to share the bucket")
    s3_endpoint: str = Field("", description="URL of the S3-compatible store (default: AWS)")
    s3_public_endpoint: str = Field("", description="URL under which clients reach the store (default: s3_endpoint)")
    s3_region: str = Field("", description="region of the bucket (default: what AWS tools would take)")
    s3_addressing: Literal["auto", "path", "virtual"] = Field(
        "auto", description="where the bucket's name goes in URLs"
    )
    s3_checksums: Literal["when_supported", "when_required"] = Field(
        "when_supported", description="when to check the store's own checksums; some stores send wrong ones"
    )
    presign_s: int = Field(900, ge=1, le=3600, description="how long a presigned URL is good for, seconds")
    redirect_downloads: bool = Field(True, description="send readers to the store itself where it can take them")
    direct_uploads: bool = Field(True, description="let clients send parts to the store itself where it can take them")
    xet_downloads_from_nbytes: int = Field(
        64 * MIB, ge=1, description="Hugging Face clients get files of so many bytes and more by Xet, not by plain HTTP"
    )
    xet_packing_percent: int = Field(
        25, ge=0, le=100, description="most of the cores that packs downloads by Xet for the way, percent; 0: none"
    )

    upstream: str = Field("", description="hub whose repos are fetched on first use, like https://huggingface.co")
    upstream_token: SecretStr = Field(SecretStr(""), description="token to ask the upstream with (default: none)")
    upstream_refresh_s: float = Field(60, ge=0, description="a branch is compared with the upstream's once in, seconds")
    upstream_users_only: bool = Field(False, description="strangers read what is here, and only users have it fetched")

    worker: bool = Field(True, description="run a worker process beside the server")
    device: str = Field("cpu", pattern=r"^(cpu|cuda:[0-9]{1,3})$", description="what a worker encodes on: cpu, cuda:N")
    queues: str = Field("", description="queues a worker serves, comma between, first first (default: cpu, or gpu)")
    encode_queue: str = Field("cpu", pattern=r"^[a-z0-9-]{1,32}$", description="queue that new encodings wait in")
    variant_queue: str = Field("cpu", pattern=r"^[a-z0-9-]{1,32}$", description="queue that new variants wait in")
    expanded_nbytes: int = Field(
        16 << 30, ge=0, description="most bytes of expanded files kept in the data folder; one is always kept"
    )
    encode_min_nbytes: int = Field(4096, ge=0, description="smaller files stay as they are, bytes")
    encode_threads: int = Field(1, ge=1, le=256, description="threads of one encoding")
    job_max_attempts: int = Field(4, ge=1, description="a job that fails this often is parked")
    job_max_handovers: int = Field(10, ge=1, description="a job whose worker dies this often is parked")
    job_backoff_s: float = Field(5, ge=0, description="wait before the second attempt, doubled for each further one")
    job_poll_s: float = Field(0.3, gt=0, description="how often a worker looks for work, seconds")
    heartbeat_s: float = Field(2, gt=0, description="how often a worker says that it lives, seconds")
    worker_dead_after_s: float = Field(20, gt=0, description="a silent worker's jobs are handed on after, seconds")

    max_connections: int = Field(2000, ge=1, description="more connections at once are refused (503)")
    max_connections_per_address: int = Field(0, ge=0, description="the same for one address; 0 for no limit")
    max_header_nbytes: int = Field(64 * 1024, ge=8192, description="largest header block of a request, bytes")
    header_timeout_s: float = Field(20, gt=0, description="a request's header must be whole within, seconds")
    min_body_rate: int = Field(1024, ge=0, description="slower request bodies are cut off, bytes a second")
    body_window_s: float = Field(20, gt=0, description="time over which that rate is looked at, seconds")
    send_timeout_s: float = Field(120, gt=0, description="an answer nobody reads a byte of is cut off after, seconds")
    read_ahead_nbytes: int = Field(128 * MIB, ge=MIB, description="most memory for answers under way, bytes")

    quota_logical_nbytes: int = Field(0, ge=0, description="original bytes a namespace may hold; 0 is no limit")
    quota_stored_nbytes: int = Field(0, ge=0, description="stored bytes a namespace may hold; 0 is no limit")
    user_requests_per_minute: int = Field(60_000, ge=0, description="limit per user and replica; 0 is none")
    address_requests_per_minute: int = Field(12_000, ge=0, description="limit per address of strangers; 0 is none")
    failed_logins_per_minute: int = Field(30, ge=0, description="wrong tokens taken from an address; 0 is no limit")
    forwarded_allow: str = Field("", description="proxies whose X-Forwarded-For is believed, comma-separated networks")

    oidc_issuer: str = Field("", description="OIDC issuer people log in at (https://..., default: none)")
    oidc_client_id: str = Field("", description="this hub's client id at the issuer")
    oidc_client_secret: SecretStr = Field(
        SecretStr(""), description="this hub's client secret (default: public client)"
    )
    oidc_scopes: str = Field("openid profile email", description="what is asked of the issuer")
    oidc_name_claim: str = Field("preferred_username", description="claim that new users are named by")
    oidc_groups_claim: str = Field("groups", description="claim that lists a person's groups")
    oidc_allowed_groups: str = Field("", description="who may log in, comma-separated groups (default: everybody)")
    oidc_admin_groups: str = Field("", description="whose members are admins of the hub (default: set by hand)")
    oidc_create_users: bool = Field(True, description="make a user at somebody's first login")
    oidc_token_ttl_s: float = Field(30 * 86400, gt=0, description="tokens of OIDC logins expire after, seconds")

    shutdown_delay_s: float = Field(
        0, ge=0, description="told to stop, the hub says so on /readyz and still takes requests for, seconds"
    )
    shutdown_grace_s: float = Field(10, ge=0, description="then running requests may finish for, seconds")
    readiness_timeout_s: float = Field(3, gt=0, description="database and store must answer /readyz within, seconds")
    statistics_interval_s: float = Field(300, gt=0, description="time between two counts of all blobs, seconds")
    metrics_host: str = Field("127.0.0.1", description="address a worker serves /metrics and /healthz on")
    metrics_port: int = Field(0, ge=0, le=65535, description="port a worker serves /metrics and /healthz on; 0 is off")
    otel_endpoint: str = Field("", description="OTLP/HTTP collector that gets traces (OTEL_EXPORTER_OTLP_ENDPOINT)")
    log_level: Literal["debug", "info", "warning", "error"] = Field("info", description="least level that is logged")

    @field_validator("queues")
    @classmethod
    def _queue_names(cls, names: str) -> str:
        """Together they fit where workers say what they serve."""
        if (names and not re.fullmatch(r"[a-z0-9-]+( ?, ?[a-z0-9-]+)*", names)) or len(names) > 32:
            raise ValueError("names of a-z, 0-9 and -, with commas between, at most 32 characters in all")
        return names.replace(" ", "")

    @field_validator("data")
    @classmethod
    def _absolute(cls, folder: Path) -> Path:
        return folder.expanduser().absolute()

    @field_validator("oidc_issuer")
    @classmethod
    def _secure_issuer(cls, issuer: str) -> str:
        loopback = urlsplit(issuer).hostname in {"127.0.0.1", "::1", "localhost"}
        if issuer and not (issuer.startswith("https://") or (loopback and issuer.startswith("http://"))):
            raise ValueError("must begin with https://")
        return issuer

    @field_validator("upstream")
    @classmethod
    def _web_address(cls, upstream: str) -> str:
        if upstream and (urlsplit(upstream).scheme not in {"http", "https"} or not urlsplit(upstream).hostname):
            raise ValueError("must be like https://huggingface.co")
        return upstream.rstrip("/")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags and file arrive as arguments, already merged; variables come from the environment."""
        return init_settings, env_settings

    @property
    def migrates_at_start(self) -> bool:
        """Only a database that is nobody else's is migrated without being asked to."""
        return not self.database_url if self.migrate is None else self.migrate

    @property
    def sqlalchemy_url(self) -> str:
        """The database of the hub."""
        return self.database_url or f"sqlite:///{self.data / 'hub.sqlite3'}"

    @property
    def engine_sqlalchemy_url(self) -> str:
        """The database of the job engine.

        On SQLite a file of its own: the engine polls and writes all the time and SQLite has one writer at a
        time. Losing that file loses nothing, the ``job`` table is the truth.
        """
        return self.engine_url or self.database_url or f"sqlite:///{self.data / 'engine.sqlite3'}"

    @property
    def served_queues(self) -> tuple[str, ...]:
        """The queues that a worker takes jobs from, in order."""
        default = "cpu" if self.device == "cpu" else "gpu"
        return tuple(name.strip() for name in (self.queues or default).split(","))

    @property
    def cuda_device(self) -> str | None:
        """The number of the GPU to use."""
        return self.device.removeprefix("cuda:") if self.device.startswith("cuda:") else None

    @property
    def objects(self) -> Path:
        """Folder of the local object store."""
        return self.data / "objects"

    def to_environment(self) -> dict[str, str]:
        """These settings as variables, for a child process. Secrets stay here."""
        values = self.model_dump(mode="json", exclude={"admin_token", "oidc_client_secret", "upstream_token"})
        return {f"{ENV_PREFIX}{name.upper()}": str(value) for name, value in values.items() if value is not None}


DESCRIPTIONS = {
    "serve": "Serve a freebits hub.",
    "worker": "Encode what was pushed to a hub, as one of any number of workers.",
}


def parser(command: str = "serve") -> argparse.ArgumentParser:
    """The flags, one per setting, and ``--config``."""
    parser = argparse.ArgumentParser(prog=f"freebits {command}", description=DESCRIPTIONS.get(command))
    parser.add_argument("--config", type=Path, help="TOML file with any of the settings (FREEBITS_CONFIG)")
    for name, field in Settings.model_fields.items():
        hidden = field.annotation is SecretStr or field.default in {"", None}
        shown = "" if hidden else f" (default: {field.default})"
        flag = "--" + name.replace("_", "-")
        is_switch = field.annotation in {bool, bool | None}
        action: Any = argparse.BooleanOptionalAction if is_switch else "store"
        parser.add_argument(flag, action=action, default=argparse.SUPPRESS, help=(field.description or "") + shown)
    return parser


def load(argv: Sequence[str] = (), command: str = "serve") -> Settings:
    """The settings from flags, environment and file.

    Raises
    ------
    InvalidSettings
        An unknown key, an unreadable file or a value out of bounds; says which and where it may be set.
    SystemExit
        The flags cannot be parsed, or help was asked for (argparse).
    """
    return from_flags(vars(parser(command).parse_args(argv)))


def from_flags(given: Mapping[str, Any]) -> Settings:
    """The settings from parsed flags (as `parser` names them), environment and file; raises InvalidSettings."""
    flags = dict(given)
    config = flags.pop("config", None) or os.environ.get(f"{ENV_PREFIX}CONFIG")
    from_file = _read_file(Path(config)) if config else {}
    variables = {name[len(ENV_PREFIX) :].lower() for name in os.environ if name.startswith(ENV_PREFIX)}
    unshadowed = {key: value for key, value in from_file.items() if key not in variables}
    try:
        return Settings(**{**unshadowed, **flags})
    except ValidationError as error:
        raise InvalidSettings(_explain(error)) from None


def _read_file(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InvalidSettings(f"cannot read the config file {path}: {error.strerror}") from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InvalidSettings(f"the config file {path} is not TOML: {error}") from None


def _explain(error: ValidationError) -> str:
    lines = []
    for problem in error.errors(include_input=False):
        name = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            lines.append(f"unknown setting {name!r}; `freebits serve --help` lists the known ones")
        else:
            flag = "--" + name.replace("_", "-")
            lines.append(f"{name}: {problem['msg']} (set by {flag}, {ENV_PREFIX}{name.upper()} or the config file)")
    return "\n".join(lines)
