"""The configuration file: read once, checked whole, frozen; an unknown key or wrong value is named with its line.

config/spineps-pacs.toml holds every key with its default and its meaning; a test keeps the two alike. Only the file
speaks; a secret is the content of a file that the configuration names.
"""

from __future__ import annotations

import tomllib
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from spineps_pacs.domain.errors import SettingsError
from spineps_pacs.settings_faults import sentences

RESTART = (
    "node.data_folder", "node.salt_file", "dicom.ae_title", "dicom.host", "dicom.port", "dicom.max_associations",
    "dicom.max_pdu", "dicom.sop_classes", "dicom.transfer_syntaxes", "dicom.idle_timeout_s", "dicom.storage_commitment",
    "dicom.tls", "stow.enabled", "stow.host", "stow.port", "stow.token_file", "watched", "selection.fill_missing_slice",
    "models", "second_opinion", "shadow", "results", "destination", "queue", "web", "orthanc.url",
    "orthanc.listen_port", "audit", "alerts",
)  # fmt: skip
"""The one list of keys, and of whole tables, whose change waits for a restart; a test holds config/ to it."""
Port = int


def _host_and_port(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 1 <= int(port) <= 65535:
        raise PydanticCustomError("address", "the address of a peer is host:port, as 192.0.2.20:104")
    return text


Address = Annotated[str, AfterValidator(_host_and_port)]
Kind = Literal["structures", "levels", "report", "picture", "presentation", "rtstruct", "source"]


class _Section(BaseModel):
    """A table of the file: frozen, and nothing unknown in it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Node(_Section):
    """The node itself."""

    data_folder: Path = Path("data")
    keep_hours: float = Field(72.0, ge=0)
    min_free_gb: float = Field(2.0, ge=0)
    salt_file: Path | None = None
    log_format: Literal["text", "json"] = "text"
    log_level: Literal["debug", "info", "warning", "error"] = "info"


class Tls(_Section):
    """TLS of the DICOM port or of a destination."""

    certificate: Path
    key: Path
    authority: Path | None = None
    require_client: bool = True


class Caller(_Section):
    """One sender that may call: its AE title, and the address or network it must come from ("" for any)."""

    ae_title: str = Field(min_length=1, max_length=16)
    address: str = ""
    priority: int = Field(100, ge=1, le=1000)


class Dicom(_Section):
    """The DICOM port."""

    ae_title: str = Field("SPINEPS", min_length=1, max_length=16)
    host: str = "127.0.0.1"
    port: Port = Field(11112, ge=0, le=65535)
    require_called_ae: bool = False
    callers: tuple[Caller, ...] = ()
    max_associations: int = Field(32, ge=1, le=1000)
    max_pdu: int = Field(131072, ge=4096, le=1048576)
    max_dataset_mb: int = Field(4096, ge=1)
    max_images_per_second: float = Field(0.0, ge=0)
    sop_classes: tuple[str, ...] = ()
    transfer_syntaxes: tuple[str, ...] = ()
    idle_timeout_s: float = Field(60.0, gt=0)
    quiet_s: float = Field(30.0, ge=0)
    complete_on_release: bool = True
    release_quiet_s: float = Field(1.0, ge=0)
    storage_commitment: bool = True
    commitment_peers: dict[str, Address] = Field(default_factory=dict)
    tls: Tls | None = None


class Stow(_Section):
    """STOW-RS reception."""

    enabled: bool = False
    host: str = "127.0.0.1"
    port: Port = Field(8043, ge=0, le=65535)
    token_file: Path | None = None
    max_body_mb: int = Field(4096, ge=1)


class Watched(_Section):
    """A folder from which files are taken in."""

    folder: Path | None = None
    every_s: float = Field(5.0, gt=0)
    remove: bool = False


class Queue(_Section):
    """The durable chain of stages."""

    database_url_file: Path | None = None
    executor: str = ""
    workers: int = Field(1, ge=1, le=64)
    series_at_once: int = Field(1, ge=1, le=4)
    poll_s: float = Field(1.0, gt=0)
    lease_s: float = Field(60.0, gt=1)
    max_recoveries: int = Field(3, ge=1)
    max_attempts: int = Field(3, ge=1)
    delivery_attempts: int = Field(12, ge=1)
    delivery_delay_s: float = Field(30.0, gt=0)
    delivery_delay_max_s: float = Field(3600.0, gt=0)
    keep_finished_days: float = Field(30.0, gt=0)


class SourceLimits(_Section):
    """Limits that differ for one sender (its AE title)."""

    ae_title: str
    min_slices: int | None = None
    min_echo_time_ms: float | None = None
    include: str | None = None
    exclude: str | None = None


class Selection(_Section):
    """Which series are ours."""

    min_slices: int = Field(5, ge=1)
    max_slices: int = Field(400, ge=1)
    min_echo_time_ms: float = Field(60.0, ge=0)
    max_echo_time_ms: float = Field(450.0, ge=0)
    min_repetition_time_ms: float = Field(1000.0, ge=0)
    max_inversion_time_ms: float = Field(100.0, ge=0)
    max_echoes: int = Field(3, ge=1)
    max_repetitions: int = Field(2, ge=1)
    max_obliquity_deg: float = Field(30.0, ge=0, le=45)
    max_step_mm: float = Field(10.0, gt=0)
    min_field_of_view_mm: float = Field(100.0, ge=0)
    min_share: float = Field(0.8, ge=0, le=1)
    take_derived: bool = False
    need_frame_of_reference: bool = True
    include: str = ""
    exclude: str = ""
    urgent: str = ""
    fill_missing_slice: bool = False
    source: tuple[SourceLimits, ...] = ()


class Study(_Section):
    """Several stations of one spine."""

    join_stations: bool = True
    quiet_s: float = Field(300.0, ge=0)


class Models(_Section):
    """The networks."""

    folder: Path | None = None
    semantic: str = ""
    instance: str = ""
    labeling: str = ""
    mode: Literal["corrected", "upstream"] = "corrected"
    device: str = Field("auto", pattern=r"^(auto|cpu|cuda(:[0-9]+)?)$")
    threads: int = Field(0, ge=0)
    cpu_precision: Literal["auto", "float32", "bfloat16"] = "auto"
    only_twelve: bool = False
    step_size: float | None = Field(None, gt=0, le=1)
    mirroring: bool | None = None
    max_memory_gb: float = Field(0.0, ge=0)
    release_address: str = "https://github.com/Hendrik-code/spineps/releases/download"


class SecondOpinion(_Section):
    """The second labeller, and what its disagreement does."""

    enabled: bool = False
    folder: Path | None = None
    pixel_mm: float = Field(0.85, ge=0.1, le=10)
    leader: Literal["spineps", "small-fov"] = "spineps"
    on_disagreement: Literal["flag", "withhold"] = "flag"
    anchors: Literal["flag", "weigh"] = "flag"
    least_confidence: float = Field(0.9, ge=0, le=1)
    release_address: str = "https://github.com/LiquidFun/Spine/releases/download"


class Shadow(_Section):
    """A second model set that runs beside the first and sends nothing."""

    folder: Path | None = None
    semantic: str = ""
    instance: str = ""
    labeling: str = ""


class Results(_Section):
    """What is written."""

    uid_root: str = Field("2.25", pattern=r"^[0-9]+(\.[0-9]+)*$")
    pictures: bool = True
    presentation_state: bool = False
    rtstruct: bool = False
    split_levels: bool = False
    report_when_empty: bool = True
    side_outputs: bool = False
    manufacturer: str = "spineps-pacs"
    station_name: str = Field("", max_length=16)


class Destination(_Section):
    """One place to which results go."""

    name: str = Field(min_length=1, pattern=r"^[A-Za-z0-9_-]+$")
    kind: Literal["dicom", "stow", "orthanc", "folder"]
    host: str = ""
    port: Port = Field(104, ge=0, le=65535)
    called_ae: str = Field("", max_length=16)
    calling_ae: str = Field("", max_length=16)
    url: str = ""
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    folder: Path | None = None
    tls: Tls | None = None
    timeout_s: float = Field(30.0, gt=0)
    results: tuple[Kind, ...] = ("structures", "levels", "report", "picture")
    sources: tuple[str, ...] = ()
    stations: tuple[str, ...] = ()
    descriptions: tuple[str, ...] = ()
    labelmap: bool = False
    confirm: Literal["commitment", "query", "none"] = "none"
    confirm_timeout_s: float = Field(300.0, gt=0)


class Pacs(_Section):
    """A PACS from which studies can be fetched."""

    name: str = Field(min_length=1)
    kind: Literal["dicom", "dicomweb"] = "dicom"
    host: str = ""
    port: Port = Field(104, ge=0, le=65535)
    called_ae: str = Field("", max_length=16)
    calling_ae: str = Field("", max_length=16)
    move_to: str = Field("", max_length=16)
    tls: Tls | None = None
    url: str = ""
    user: str = ""
    password_file: Path | None = None
    token_file: Path | None = None
    timeout_s: float = Field(60.0, gt=0)


class Web(_Section):
    """The operator's page."""

    enabled: bool = True
    host: str = "127.0.0.1"
    port: Port = Field(8080, ge=0, le=65535)
    token_file: Path | None = None
    trusted_proxy: str = ""
    proxy_user_header: str = "X-Forwarded-User"
    show_patient: bool = False


class Orthanc(_Section):
    """An Orthanc whose plugin hands series to us."""

    url: str = ""
    user: str = ""
    password_file: Path | None = None
    timeout_s: float = Field(30.0, gt=0)
    listen_port: Port = Field(8044, ge=0, le=65535)


class Audit(_Section):
    """Audit messages (DICOM PS3.15 A.5)."""

    file: Path | None = None
    syslog_host: str = ""
    syslog_port: Port = Field(6514, ge=1, le=65535)
    syslog_authority: Path | None = None


class Alerts(_Section):
    """Who is told of trouble."""

    webhook: str = ""
    smtp_host: str = ""
    smtp_port: Port = Field(25, ge=1, le=65535)
    sender: str = ""
    receivers: tuple[str, ...] = ()


class Settings(BaseSettings):
    """The whole configuration."""

    model_config = SettingsConfigDict(frozen=True, extra="forbid")

    node: Node = Node()
    dicom: Dicom = Dicom()
    stow: Stow = Stow()
    watched: Watched = Watched()
    selection: Selection = Selection()
    study: Study = Study()
    models: Models = Models()
    second_opinion: SecondOpinion = SecondOpinion()
    shadow: Shadow = Shadow()
    results: Results = Results()
    destination: tuple[Destination, ...] = ()
    pacs: tuple[Pacs, ...] = ()
    queue: Queue = Queue()
    web: Web = Web()
    orthanc: Orthanc = Orthanc()
    audit: Audit = Audit()
    alerts: Alerts = Alerts()

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003  the signature is the library's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Only the file speaks: no variable, no dotenv, no secrets folder."""
        return (init_settings,)


def load(path: Path) -> Settings:
    """Reads and checks the file; raises SettingsError with one sentence per fault, each with its line."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(f"{path}: cannot be read: {getattr(error, 'strerror', None) or error}") from error
    return parse(text, str(path), path.parent)


def parse(text: str, name: str = "settings", folder: Path | None = None) -> Settings:
    """Checks the text of a file; relative paths in it start at `folder`."""
    try:
        data = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{name}: not TOML: {error}") from error
    try:
        settings = Settings(**data)
    except ValidationError as error:
        raise SettingsError("\n".join(sentences(error, Settings, text, name))) from error
    _check_names(settings, name)
    return _anchored(settings, folder) if folder else settings


def waits_for_restart(before: Settings, after: Settings) -> list[str]:
    """The keys that were changed and whose change waits for a restart, each by its whole name."""
    return [key for key in changed(before, after) if any(key == one or key.startswith(f"{one}.") for one in RESTART)]


def changed(before: Settings, after: Settings) -> list[str]:
    """Every key whose value differs: table.key, or the table's name for a list of tables."""
    found = []
    for table in Settings.model_fields:
        old, new = getattr(before, table), getattr(after, table)
        if isinstance(old, _Section):
            keys = type(old).model_fields
            found += [f"{table}.{key}" for key in keys if getattr(old, key) != getattr(new, key)]
        elif old != new:
            found.append(table)
    return found


def secret(path: Path | None) -> str:
    """The content of a secret's file, without the newline at its end; "" when none is named."""
    if path is None:
        return ""
    try:
        return path.read_text(encoding="utf-8").strip()
    except OSError as error:
        raise SettingsError(f"{path}: the secret in it cannot be read: {error.strerror}") from error


def _check_names(settings: Settings, name: str) -> None:
    seen: set[str] = set()
    for destination in settings.destination:
        if destination.name in seen:
            raise SettingsError(f"{name}: two destinations are called {destination.name!r}; each needs its own name")
        seen.add(destination.name)
        needed = {"dicom": "host", "stow": "url", "orthanc": "url", "folder": "folder"}[destination.kind]
        if not getattr(destination, needed):
            what = f"destination {destination.name!r} of kind {destination.kind!r}"
            raise SettingsError(f"{name}: {what} needs {needed!r}")


def _anchored(value: Any, folder: Path) -> Any:
    """The same settings with every relative path starting at the folder of the file."""
    if isinstance(value, Path):
        return value if value.is_absolute() else (folder / value).resolve()
    if isinstance(value, tuple):
        return tuple(_anchored(v, folder) for v in value)
    if isinstance(value, BaseModel):
        changed = {key: _anchored(getattr(value, key), folder) for key in type(value).model_fields}
        return value.model_copy(update=changed)
    return value


Live = Callable[[], Settings]
"""The settings in force; asked each time, so that a changed file is taken over while the node runs."""
