"""Where samples come from: the built-in scraper, or a Prometheus-compatible API that has them already.

``scrape_configs`` is the part of Prometheus' format that the scraper obeys; a key outside it is refused,
never ignored.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from watchkeeper.runbook.models.base import Part, Several, Text
from watchkeeper.runbook.models.quantities import Duration, Size
from watchkeeper.runbook.models.secrets import Located, Secret

HttpUrl = Annotated[str, StringConstraints(pattern=r"^https?://[^\s/@]+(?:/[^\s]*)?$")]
"""An absolute http or https URL without a user name or password in it."""
LabelName = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z_][a-zA-Z0-9_]*$")]


class BasicAuth(Located):
    """HTTP basic authentication."""

    username: Text
    password: Secret | None = None
    password_file: Text | None = None

    @model_validator(mode="after")
    def _one_password(self) -> Self:
        if (self.password is None) == (self.password_file is None):
            raise PydanticCustomError(
                "one_of",
                "say exactly one: {example}",
                {"example": "password: {env: NAME} or password_file: PATH"},
            )
        return self

    @property
    def secret(self) -> Secret:
        """Where the password is kept."""
        return self.password or self.secret_in(str(self.password_file))


class Authorization(Located):
    """The ``Authorization`` header: a type and credentials."""

    type: Text = "Bearer"
    credentials: Secret | None = None
    credentials_file: Text | None = None

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if (self.credentials is None) == (self.credentials_file is None):
            raise PydanticCustomError(
                "one_of",
                "say exactly one: {example}",
                {"example": "credentials: {env: NAME} or credentials_file: PATH"},
            )
        return self

    @property
    def secret(self) -> Secret:
        """Where the credentials are kept."""
        return self.credentials or self.secret_in(str(self.credentials_file))


class TlsConfig(Part):
    """TLS to the target: which authority to trust and which certificate to show."""

    ca_file: Text | None = None
    cert_file: Text | None = None
    key_file: Text | None = None
    server_name: Text | None = None
    insecure_skip_verify: bool = False

    @model_validator(mode="after")
    def _pair(self) -> Self:
        if (self.cert_file is None) != (self.key_file is None):
            raise PydanticCustomError("pair", "cert_file and key_file belong together; give both or neither")
        return self


class HttpClient(Part):
    """How to speak to an HTTP server; shared by targets, service discovery and a remote API."""

    basic_auth: BasicAuth | None = None
    authorization: Authorization | None = None
    tls_config: TlsConfig | None = None
    follow_redirects: bool = True

    @model_validator(mode="after")
    def _one_auth(self) -> Self:
        if self.basic_auth is not None and self.authorization is not None:
            raise PydanticCustomError("one_of", "basic_auth and authorization exclude each other; keep one")
        return self


class StaticConfig(Part):
    """Targets by name, with labels for all of them."""

    targets: Several[Text] = Field(min_length=1)
    labels: dict[LabelName, str] = Field(default_factory=dict)


class FileDiscovery(Part):
    """Targets from JSON or YAML files in Prometheus' ``file_sd`` format; patterns may hold ``*``."""

    files: Several[Text] = Field(min_length=1)
    refresh_interval: Duration = Duration("5m")


class HttpDiscovery(HttpClient):
    """Targets from a URL in Prometheus' ``http_sd`` format."""

    url: HttpUrl
    refresh_interval: Duration = Duration("1m")


class RelabelConfig(Part):
    """One rule that keeps, drops or rewrites label sets; keys and defaults are Prometheus'."""

    action: Literal[
        "replace",
        "keep",
        "drop",
        "keepequal",
        "dropequal",
        "hashmod",
        "labelmap",
        "labeldrop",
        "labelkeep",
        "lowercase",
        "uppercase",
    ] = "replace"
    source_labels: Several[Text] = ()
    separator: str = ";"
    regex: str = "(.*)"
    modulus: Annotated[int, Field(ge=0)] = 0
    target_label: str = ""
    replacement: str = "$1"


class ScrapeConfig(HttpClient):
    """A group of targets that are scraped the same way. Limits of zero mean: none."""

    job_name: Text
    scrape_interval: Duration | None = None
    scrape_timeout: Duration | None = None
    metrics_path: Annotated[str, StringConstraints(pattern=r"^/")] = "/metrics"
    scheme: Literal["http", "https"] = "http"
    params: dict[str, Several[str]] = Field(default_factory=dict)
    honor_labels: bool = False
    honor_timestamps: bool = True
    static_configs: Several[StaticConfig] = ()
    file_sd_configs: Several[FileDiscovery] = ()
    http_sd_configs: Several[HttpDiscovery] = ()
    relabel_configs: Several[RelabelConfig] = ()
    metric_relabel_configs: Several[RelabelConfig] = ()
    body_size_limit: Size | None = None
    sample_limit: Annotated[int, Field(ge=0)] | None = None
    label_limit: Annotated[int, Field(ge=0)] | None = None
    label_name_length_limit: Annotated[int, Field(ge=0)] | None = None
    label_value_length_limit: Annotated[int, Field(ge=0)] | None = None


class Limits(Part):
    """What one scrape may bring, for every group that does not say otherwise. Zero means: no limit."""

    body_size_limit: Size = Size("64MiB")
    sample_limit: Annotated[int, Field(ge=0)] = 500_000
    label_limit: Annotated[int, Field(ge=0)] = 64
    label_name_length_limit: Annotated[int, Field(ge=0)] = 256
    label_value_length_limit: Annotated[int, Field(ge=0)] = 4096


class SampleRetention(Part):
    """How long samples are kept: whichever ends first."""

    time: Duration = Duration("15d")
    size: Size = Size("4GiB")


class Metrics(HttpClient):
    """The source of samples. With ``url`` nothing is scraped, and rules are evaluated by queries to it."""

    url: HttpUrl | None = None
    timeout: Duration = Duration("10s")
    """For a query to ``url``."""
    scrape_interval: Duration = Duration("15s")
    scrape_timeout: Duration = Duration("10s")
    evaluation_interval: Duration = Duration("15s")
    scrape_configs: Several[ScrapeConfig] = ()
    retention: SampleRetention = SampleRetention()
    limits: Limits = Limits()

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.url is not None and self.scrape_configs:
            raise PydanticCustomError(
                "one_of",
                "url and scrape_configs exclude each other: samples come from there or are scraped here",
            )
        for config in self.scrape_configs:
            if self.timeout_of(config) > self.interval_of(config):
                raise PydanticCustomError(
                    "scrape_timeout",
                    "job {job!r}: scrape_timeout {timeout} is longer than scrape_interval {interval}",
                    {
                        "job": config.job_name,
                        "timeout": self.timeout_of(config).text,
                        "interval": self.interval_of(config).text,
                    },
                )
        return self

    def interval_of(self, config: ScrapeConfig) -> Duration:
        """How often the group is scraped."""
        return config.scrape_interval or self.scrape_interval

    def timeout_of(self, config: ScrapeConfig) -> Duration:
        """How long a scrape may take; never longer than the interval unless the group asks for it."""
        if config.scrape_timeout is not None:
            return config.scrape_timeout
        return min(self.scrape_timeout, self.interval_of(config))
