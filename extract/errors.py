"""Every exception that this package raises on purpose.

ExtractError
├── ConfigError                 a pipeline, option or environment that cannot work; nothing was sent   (exit 2)
│   ├── SchemaError             a model that a response schema cannot express
│   ├── PromptError             a template or example that does not fit the source
│   └── RunDirectoryError       a run directory that is locked, foreign or damaged
├── InputError                  a source file, line, column or value that cannot be read; nothing was sent   (exit 2)
│   └── EditError               rows filled in by hand that cannot be accepted; nothing was changed
├── RunStopped                  the run ended early and can be taken up again   (exit 4)
└── APIError                    one call failed; carries status, code, request id, retryable, retry_after, hint
    ├── APIConnectionError      no answer arrived
    │   └── APITimeoutError     no answer arrived in time
    ├── BadRequestError         400, 413, 422: this request is refused, others may pass
    ├── AuthenticationError     401: the key is wrong
    ├── PermissionDeniedError   403: the key may not use this model
    ├── InsufficientBalanceError  402 and its disguises: the account is empty
    ├── NotFoundError           404: no such model or path
    ├── ContentPolicyError      the provider will not answer this content
    ├── RateLimitError          429 and its disguises
    ├── OutputError             what the model wrote was refused by its own provider
    ├── ServerError             5xx and other passing faults of the server
    └── InvalidResponseError    HTTP 200 whose body is no chat completion
"""

from __future__ import annotations

from collections.abc import Sequence
from enum import StrEnum


class ErrorClass(StrEnum):
    """What an API error means for the job (the table in docs/errors.md)."""

    AUTH = "auth"  # stop the job
    BALANCE = "balance"  # stop the job, resumable
    CONFIG = "config"  # stop the job
    REQUEST = "request"  # quarantine the record
    POLICY = "policy"  # quarantine the record
    SCHEMA = "schema_too_complex"  # ask again with a schema that demands less
    RATE = "rate"  # wait as told, try again
    TRANSIENT = "transient"  # back off, try again
    OUTPUT = "output"  # quarantine the record: the model's answer is at fault


TOO_LONG = "context_length_exceeded"  # code of what speaks of one record's size, whatever the server calls it
MEDIA_UNREACHABLE = "media_unreachable"  # code of what speaks of one record's file
HEDGED = "hedged"  # code of a call that was given up since another for the same request had answered
NOT_SENT = "nothing was sent"  # noted on what cancelled a call before its request could leave


class ExtractError(Exception):
    """Base of all errors of this package; `hint` says what to do about it."""

    def __init__(self, message: str, *, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.report: object | None = None  # what the run had done, on an error that ended it

    def __str__(self) -> str:
        return f"{self.message} ({self.hint})" if self.hint else self.message


class ConfigError(ExtractError):
    """A pipeline, option or environment that cannot work; nothing was sent."""


class SchemaError(ConfigError):
    """A model that a response schema cannot express; `path` names the field, `profile` for which endpoint."""

    def __init__(self, message: str, *, path: str = "", hint: str | None = None, profile: str = "") -> None:
        placed = f"{path}: {message}" if path else message
        super().__init__(f"{placed} [profile {profile}]" if profile else placed, hint=hint)
        self.path = path
        self.profile = profile
        self._said = message

    def for_profile(self, profile: str) -> SchemaError:
        """The same, with the profile, and something to do in any case."""
        hint = self.hint or "change the schema at this place, or leave the place out"
        return SchemaError(self._said, path=self.path or "$", hint=hint, profile=self.profile or profile)


class PromptError(ConfigError):
    """A template or example that does not fit the source."""


class RunDirectoryError(ConfigError):
    """A run directory that is locked, foreign or damaged."""


class InputError(ExtractError):
    """Input that cannot be read, with the place: file, line (from 1), column (name or number from 1), value."""

    def __init__(
        self,
        message: str,
        *,
        file: str | None = None,
        line: int | None = None,
        column: str | int | None = None,
        value: object = None,
        hint: str | None = None,
    ) -> None:
        place = [str(file)] if file else []
        place += [f"line {line}"] if line is not None else []
        place += [f"column {column!r}" if isinstance(column, str) else f"column {column}"] if column is not None else []
        super().__init__(f"{', '.join(place)}: {message}" if place else message, hint=hint)
        self.file = file
        self.line = line
        self.column = column
        self.value = value


class EditError(InputError):
    """Rows filled in by hand that cannot be accepted; `problems` has each with row, column, value and what to do."""

    def __init__(self, message: str, problems: Sequence[object], *, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.problems = tuple(problems)


class RunStopped(ExtractError):  # noqa: N818  # not an error as such: the run goes on later
    """The run ended early; the same command goes on from here. `code` names the reason, for the manifest."""

    code = "stopped"

    def __init__(self, message: str, *, code: str | None = None, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.code = code or self.code


class APIError(ExtractError):
    """One call to the endpoint failed.

    `status` is the HTTP status (None when no answer came), `code` the server's own code, `retry_after` seconds,
    `body` the raw answer (capped), `kind` what it means for the job.
    """

    def __init__(
        self,
        message: str,
        *,
        kind: ErrorClass,
        status: int | None = None,
        code: str | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
        hint: str | None = None,
        body: bytes = b"",
    ) -> None:
        super().__init__(message, hint=hint)
        self.kind = kind
        self.status = status
        self.code = code
        self.request_id = request_id
        self.retry_after = retry_after
        self.body = body
        self.waited = 0.0  # seconds that the call waited for its turn before it began
        self.of_outage = False  # and so no attempt of its record; that is known some time after it was raised
        self.may_be_billed = False  # the request was sent, and nobody knows what became of it

    @property
    def retryable(self) -> bool:
        """Whether the same request may pass later."""
        return self.kind in (ErrorClass.RATE, ErrorClass.TRANSIENT)

    @property
    def stops_run(self) -> bool:
        """Whether every other record would fail alike."""
        return self.kind in (ErrorClass.AUTH, ErrorClass.BALANCE, ErrorClass.CONFIG)


class APIConnectionError(APIError):
    """No answer arrived: refused, reset, name not found, TLS."""


class APITimeoutError(APIConnectionError):
    """No answer arrived in time; the request may have been billed."""


class BadRequestError(APIError):
    """This request is refused; others may pass."""


class AuthenticationError(APIError):
    """The key is missing or wrong."""


class PermissionDeniedError(APIError):
    """The key may not use this model."""


class InsufficientBalanceError(APIError):
    """The account has no balance left."""


class NotFoundError(APIError):
    """No such model or path at this endpoint."""


class ContentPolicyError(APIError):
    """The provider will not answer this content."""


class RateLimitError(APIError):
    """Too many requests or tokens for now."""


class OutputError(APIError):
    """What the model wrote was refused by its own provider: no JSON, a bad tool call, too long."""


class ServerError(APIError):
    """A passing fault of the server."""


class InvalidResponseError(APIError):
    """HTTP 200 whose body is no chat completion."""


RAISED_FROM = 10  # errors behind an error that are looked at


def let_go(error: BaseException) -> None:
    """Free what a failed call used as soon as nobody keeps its error, which is heeded and will not be raised again.

    An error knows the frames that it passed, and these often know it, or the connection that keeps it: rings, of which
    a long run would hold some megabytes until the collector comes to the old ones.
    """
    each: BaseException | None = error
    for _ in range(RAISED_FROM):
        if each is None:
            return
        each.__traceback__ = None
        each = each.__cause__ or each.__context__
