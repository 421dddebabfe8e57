"""Settings of the operator of a service: `service.yaml` in the home, or a file named at the start."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Self
from urllib.parse import urlsplit

from pydantic import Field, ValidationError, model_validator

from pipelines.spec.code_references import split_reference
from pipelines.spec.error_messages import list_spec_problems
from pipelines.spec.home_rules import QuotaSpec, RetentionSpec
from pipelines.spec.section import Section
from pipelines.spec.units import Bytes, Seconds
from search_spaces.errors import InputError, Problem
from search_spaces.yaml_document import Document, KeyPath
from search_spaces.yaml_reader import read_document

FILE_NAME = "service.yaml"
LOCAL = ("127.0.0.1", "::1", "localhost")

NotificationKind = Literal["finished", "failed", "new_best"]


class TlsSpec(Section):
    """Certificate and key of a service that uses TLS itself."""

    certificate: str = Field(min_length=1, description="File with the certificate chain, PEM.")
    key: str = Field(min_length=1, description="File with its private key, PEM.")


class NotifySpec(Section):
    """Receiver of notifications: a webhook or a command."""

    on: list[NotificationKind] = Field(
        default=["finished", "failed"], min_length=1, description="Events to send: `finished`, `failed`, `new_best`."
    )
    webhook: str | None = Field(None, pattern=r"^https?://", description="URL that receives a POST with JSON.")
    secret_file: str | None = Field(
        None, description="File with the secret that signs the POST (HMAC-SHA-256 in `X-Kerastudy-Signature`)."
    )
    command: list[str] | None = Field(
        None, min_length=1, description="Program and arguments; it receives the JSON on standard input."
    )

    @model_validator(mode="after")
    def _check_one_receiver(self) -> Self:
        if (self.webhook is None) == (self.command is None):
            raise ValueError("expected either webhook or command")
        if self.secret_file is not None and self.webhook is None:
            raise ValueError("secret_file signs the POST of a webhook; add webhook, or remove secret_file")
        return self


class CeilingsSpec(Section):
    """Ceilings for each account, so that none holds up the others; admins have none but `exports`."""

    priority: int = Field(0, ge=-100, le=100, description="Highest priority that a submitter may choose.")
    followers: int = Field(20, ge=1, le=200, description="Streams of events and logs that are open at once.")
    exports: int = Field(
        1, ge=1, le=2, description="Exports, promotions, predictions and comparisons at once, of two in all."
    )
    uploads: Bytes = Field(2 * 10**9, description="Total size of the files that one submitter has uploaded.")


class LogsSpec(Section):
    """Log of a service."""

    level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least level of a record: `debug`, `info`, `warning`, `error`."
    )
    requests: bool = Field(True, description="A line for each request; of monitors' requests only those that fail.")
    size: Bytes = Field(10**7, ge=10**4, description="Size at which `service.log` becomes an older file.")
    files: int = Field(5, ge=1, le=1000, description="Older files that are kept.")


class RolesSpec(Section):
    """Values of a claim, for each scope that they give."""

    admin: list[str] = Field(default=[], description="Values that give the scope `admin`.")
    submit: list[str] = Field(default=[], description='Values that give the scope `submit`; "*" is everybody.')
    read: list[str] = Field(default=[], description='Values that give the scope `read`; "*" is everybody.')

    @model_validator(mode="after")
    def _check_some_role(self) -> Self:
        if not (self.admin or self.submit or self.read):
            raise ValueError("nobody could sign in: name values for admin, submit or read")
        if "*" in self.admin:
            raise ValueError('admin: expected values of the claim, got "*", which is everybody')
        return self


class OidcSpec(Section):
    """Identity provider of people who sign in (OpenID Connect)."""

    issuer: str = Field(pattern=r"^https?://", description="URL of the provider, as its tokens have it in `iss`.")
    client_id: str = Field(min_length=1, description="Id of this service at the provider.")
    client_secret_file: str | None = Field(None, description="File with the secret of this service at the provider.")
    scopes: list[str] = Field(default=["openid", "profile", "email"], description="Scopes to request.")
    claim: str = Field("groups", min_length=1, description="Claim whose values give the roles.")
    name_claim: str = Field("preferred_username", min_length=1, description="Claim with the name to show.")
    roles: RolesSpec = Field(description="Values of the claim for each scope.")
    button: str = Field("your organisation", min_length=1, max_length=60, description="Name of it on the page.")

    @model_validator(mode="after")
    def _check_issuer(self) -> Self:
        host = urlsplit(self.issuer).hostname or ""
        if not self.issuer.startswith("https://") and host not in LOCAL:
            raise ValueError(f"issuer: expected https://, since tokens come from there, got {self.issuer}")
        if "openid" not in self.scopes:
            raise ValueError('scopes: expected "openid" among them')
        return self


class SignInSpec(Section):
    """How people sign in with a browser."""

    idle: Seconds = Field(12 * 3600.0, description="A session ends after so long without a request.")
    longest: Seconds = Field(7 * 86_400.0, description="A session ends after so long in any case.")
    passwords: bool = Field(True, description="Whether accounts with a password may sign in.")
    oidc: OidcSpec | None = Field(None, description="Identity provider, if people sign in with one.")


@dataclass(frozen=True)
class StudyLimits:
    """Limits of every study of a service, whatever its file requests; None for no limit.

    Attributes:
        workers: most worker processes.
        data_s: most seconds for the preparation of its data.
        check_s: most seconds for the trial of its models before the search.
        protected_aliases: aliases of registered models that its end does not set, unless its submitter may.
        memory: most bytes of memory of one worker.
        home: most bytes of the home.
    """

    workers: int | None = None
    data_s: float | None = None
    check_s: float | None = None
    memory: int | None = None
    home: int | None = None
    protected_aliases: tuple[str, ...] = ()


class ServiceSpec(Section):
    """File of a service."""

    host: str = Field("127.0.0.1", min_length=1, description="Address to listen on.")
    port: int = Field(8080, ge=1, le=65535, description="Port to listen on.")
    hosts: list[str] = Field(
        default=[], description="Host names of the service, besides localhost and the address that it listens on."
    )
    tls: TlsSpec | None = Field(None, description="Certificate and key, if the service uses TLS itself.")
    tls_in_front: bool = Field(
        False,
        description="A proxy in front uses TLS; without it or `tls`, `host` is an address of this machine only.",
    )
    studies: int = Field(
        1,
        ge=0,
        le=64,
        description="Studies that run on this host at a time; with 0, only hosts with `kerastudy supervise` run any.",
    )
    workers: int | None = Field(
        None, ge=1, le=256, description="Most worker processes of one study, whatever its file requests."
    )
    memory: Bytes | None = Field(
        None, description='Most memory of one worker of a study, such as "8GB", whatever its file requests.'
    )
    kept_models: Bytes | None = Field(
        None,
        description='Most memory, such as "4GB", of the processes that keep a model for the next prediction with it; '
        "a tenth of the machine's when left out, and 1MB keeps none.",
    )
    data_time: Seconds = Field(
        3600.0, description='Longest preparation of a study\'s data, such as "1h", whatever its file requests.'
    )
    check_time: Seconds = Field(
        3600.0,
        description='Longest trial of a study\'s smallest and largest model before its search, such as "10m", whatever '
        "its file requests.",
    )
    data: list[str] = Field(default=[], description="Folders from which studies may read data.")
    urls: list[str] = Field(
        default=[],
        description="Beginnings of addresses from which studies may read data, such as `s3://bucket/folder/`; with the "
        "credentials of the service's environment, and without following redirects. None when left out.",
    )
    code: list[str] = Field(
        default=[],
        description="Code that studies may name as model or loader, with its full path: `/folder/file.py:function`.",
    )
    ray: list[str] = Field(
        default=[],
        description="Addresses of Ray clusters that studies may name; a study without one uses `RAY_ADDRESS` of the "
        "service, or Ray on its host.",
    )
    uploads: Bytes | None = Field(
        None, description='Largest uploaded file, such as "200MB"; without it, uploads are refused.'
    )
    all_uploads: Bytes = Field(10**10, description="Largest total size of all uploaded files.")
    ceilings: CeilingsSpec = Field(CeilingsSpec(), description="Ceilings for each account.")
    protected_aliases: list[str] = Field(
        default=[],
        description="Aliases of registered models that only admins move, and those to whom an admin granted it.",
    )
    mlflow: bool = Field(True, description="Run MLflow's UI with the service, below `/mlflow/`.")
    mlflow_below: bool = Field(
        False,
        description="Serve the MLflow server of `MLFLOW_TRACKING_URI` below `/mlflow/` too, with this service's "
        "tokens; it must be started with `--static-prefix /mlflow`, and that path ends the address.",
    )
    mlflow_url: str | None = Field(
        None,
        pattern=r"^https?://",
        description="URL at which browsers reach the MLflow server of `MLFLOW_TRACKING_URI`, if it is another one.",
    )
    notify: list[NotifySpec] = Field(
        default=[], description="Receivers of notifications when a study ends or has a new best trial."
    )
    sign_in: SignInSpec = Field(SignInSpec(), description="How people sign in with a browser.")
    token_lifetime: Seconds | None = Field(
        None,
        description='How long a new token lives if nothing else is requested, such as "90d"; without it, for ever.',
    )
    audit_age: Seconds = Field(400 * 86_400.0, description="How long the lines of the audit log are kept.")
    logs: LogsSpec = Field(LogsSpec(), description="Its log: `service.log` in the home, and standard error.")

    retention: RetentionSpec = Field(RetentionSpec(), description="What is removed after a time.")
    quotas: QuotaSpec = Field(QuotaSpec(), description="How much room studies may take.")

    @property
    def study_limits(self) -> StudyLimits:
        """Limits of every study."""
        return StudyLimits(
            workers=self.workers,
            data_s=self.data_time,
            check_s=self.check_time,
            memory=self.memory,
            home=self.quotas.home,
            protected_aliases=tuple(self.protected_aliases),
        )


def read_config(file: Path | None, home: Path) -> ServiceSpec:
    """Return the settings in a file, or in the home's `service.yaml`; the defaults where there is none.

    Raises:
        InputError: with every problem of the file.
    """
    if file is None:
        file = home / FILE_NAME
        if not file.exists():
            return ServiceSpec()
    document = read_document(file)
    try:
        spec = ServiceSpec.model_validate(document.data)
    except ValidationError as error:
        raise InputError(list_spec_problems(document, error, ServiceSpec)) from None
    if problems := [*_find_missing_files(document, spec)]:
        raise InputError(problems)
    return spec


def _find_missing_files(document: Document, spec: ServiceSpec) -> list[Problem]:
    """Return a problem for each file that does not exist, and each path that is not absolute.

    A relative path means another file when the service is started from another folder.
    """
    problems = []
    for index, folder in enumerate(spec.data):
        if not Path(folder).is_absolute() or not Path(folder).is_dir():
            message = f"expected the absolute path of an existing folder, got {folder}"
            problems.append(document.make_problem(("data", index), message))
    for index, reference in enumerate(spec.code):
        try:
            # Checked at the start, not at a study's submission: its submitter could do nothing about it.
            split_reference(reference, Path("/"), "code")
        except InputError as error:
            problems.append(document.make_problem(("code", index), error.problems[0].message))
            continue
        if not Path(reference).is_absolute():
            problems.append(document.make_problem(("code", index), f"expected an absolute path, got {reference}"))
    secrets: list[tuple[KeyPath, str | None]] = [
        (("notify", index, "secret_file"), each.secret_file) for index, each in enumerate(spec.notify)
    ]
    if spec.sign_in.oidc is not None:
        secrets.append((("sign_in", "oidc", "client_secret_file"), spec.sign_in.oidc.client_secret_file))
    certificates = [(("tls", "certificate"), spec.tls.certificate), (("tls", "key"), spec.tls.key)] if spec.tls else []
    for keys, name in (*secrets, *certificates):
        if name is not None and not Path(name).is_file():
            problems.append(document.make_problem(keys, f"there is no file {name}"))
    return problems
