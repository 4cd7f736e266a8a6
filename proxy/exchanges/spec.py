"""The seam between the proxy and an exchange: a frozen record of functions.

An exchange is a folder here whose `__init__` makes one `Exchange`. Everything behind the record
is sans-io: it may read bytes and clocks' readings handed in, never a socket, a clock or a log.
What an exchange cannot accept it refuses by raising `Refusal`; nothing else may escape, whatever
bytes come in.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol, final

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from proxy.errors import Slug
    from proxy.model import (
        Broker,
        Charge,
        Claim,
        Credentials,
        Endpoint,
        KeyTriple,
        Learned,
        OnConflict,
        Outbound,
        Pool,
        Request,
        Response,
        Signed,
        Tagged,
        Verdict,
    )


class Identify(Protocol):
    """Read the claim off a request's head; `None` when it carries no credentials at all.

    Raises `Refusal`: `missing_credentials` (some but not all), `stale_timestamp` (not a time),
    `bad_request` (a header of the claim makes no sense). Whether the time is fresh is asked by
    the pipeline, with `Exchange.timestamp_window_ms`.
    """

    def __call__(self, request: Request) -> Claim | None: ...


class Verify(Protocol):
    """Prove a claim with the credentials it names; return the HMAC computed (the replay key).

    Accepts every form that real clients sign: path with or without our prefix, the query as
    received, percent-decoded or plus-decoded. Signature before passphrase, in constant time.
    Raises `Refusal`: `bad_signature`, `bad_passphrase`.
    """

    def __call__(self, request: Request, claim: Claim, credentials: Credentials) -> bytes: ...


class Read(Protocol):
    """Parse what tagging and charging need of the request, once. The result is opaque to all
    but the exchange's own `tag` and `charges`. Raises `Refusal`: `bad_request`."""

    def __call__(self, endpoint: Endpoint, request: Request) -> Any: ...


class SetTag(Protocol):
    """Set the broker code; every other byte stays. Raises `Refusal`: `tag_conflict`,
    `bad_request` where it cannot be set for certain."""

    def __call__(
        self,
        endpoint: Endpoint,
        request: Request,
        content: Any,
        code: bytes,
        on_conflict: OnConflict,
    ) -> Tagged: ...


class Charges(Protocol):
    """Say what the request costs, pool by pool; one `Charge` for each part of each pool.

    A tuple is kept by the exchange and is the very same one for every request that costs the
    same, so that what follows from it can be remembered too; a list is this request's own.
    Raises `Refusal`: `bad_request`.
    """

    def __call__(self, endpoint: Endpoint, request: Request, content: Any) -> Sequence[Charge]: ...


class Sign(Protocol):
    """Sign for the exchange at the instant `wall_ms` (Unix); nothing is edited afterwards."""

    def __call__(
        self, outbound: Outbound, credentials: Credentials, broker: Broker, wall_ms: int
    ) -> Signed: ...


class UnsignedHead(Protocol):
    """The header lines (CRLF-ended) that a request without credentials needs in place of a
    signature. Raises `Refusal`: `bad_request`."""

    def __call__(self, request: Request) -> bytes: ...


class ForwardedHead(Protocol):
    """The header lines (CRLF-ended) of the bot's own authentication, to be forwarded as they
    came: for accounts whose secret we do not hold. Raises `Refusal`: `bad_request`."""

    def __call__(self, request: Request) -> bytes: ...


class Classify(Protocol):
    """Say what an answer means. Never raises, whatever the bytes."""

    def __call__(self, endpoint: Endpoint, response: Response) -> Verdict: ...


class RenderRefusal(Protocol):
    """Give a refusal the exchange's own status, code and shape; `detail` is our bracket.

    Returns the HTTP status and the JSON body. `path` is the exchange's own path.
    """

    def __call__(self, slug: Slug, path: bytes, detail: str) -> tuple[int, bytes]: ...


@final
class Lesson(NamedTuple):
    """A private read that tells what the exchange knows of an account.

    `read` returns None for an answer that tells nothing, and never raises. `every_ns` is after
    how long it is asked again, 0 for once; `wanted` says by what is known whether it is asked.
    """

    method: bytes
    path: bytes
    suffix: bytes  # the query as sent, with its question mark, or empty
    read: Callable[[Response], Learned | None]
    every_ns: int
    wanted: Callable[[Learned], bool]


@final
@dataclass(frozen=True, slots=True)
class Exchange:
    """One kind of exchange, whole."""

    kind: str
    venues: tuple[str, ...]
    endpoints: tuple[Endpoint, ...]
    pools: tuple[Pool, ...]  # every pool by name, for overrides
    passed_headers: tuple[bytes, ...]  # the bot's own that go on, beside the four general ones
    timestamp_window_ms: int  # either way, for a bot's timestamp
    identify: Identify
    verify: Verify
    read: Read
    tag: SetTag
    charges: Charges
    sign: Sign
    unsigned_head: UnsignedHead
    forwarded_head: ForwardedHead
    classify: Classify
    refusal: RenderRefusal
    client_order_ids: ClientOrderIds
    reduces: Reduces
    sensitive_class: SensitiveClass  # for any path, in the table or not
    code_fault: CodeFault
    triple_fault: TripleFault
    issue: Issue
    lessons: tuple[Lesson, ...]  # the first tells the uid, and is asked before all else
    clock_path: bytes  # a public read that tells the exchange's time
    read_clock: ReadClock
    sample_order: SampleOrder


class ClientOrderIds(Protocol):
    """The bot's own order ids in what `read` returned, comma-joined; for the log line."""

    def __call__(self, content: Any) -> str: ...


class Reduces(Protocol):
    """Whether everything a request orders can only make positions smaller."""

    def __call__(self, endpoint: Endpoint, content: Any) -> bool: ...


class SensitiveClass(Protocol):
    """The sensitive class of a path, "" if none; `path` is percent-decoded and lower-case."""

    def __call__(self, method: str, path: str) -> str: ...


class CodeFault(Protocol):
    """What is wrong with a broker code, "" if nothing."""

    def __call__(self, code: str) -> str: ...


class TripleFault(Protocol):
    """What is wrong with a key triple's form, "" if nothing; never quotes it."""

    def __call__(self, triple: KeyTriple) -> str: ...


class Issue(Protocol):
    """Make a key triple in the exchange's own form out of 64 random bytes."""

    def __call__(self, random: bytes) -> KeyTriple: ...


class ReadClock(Protocol):
    """The exchange's time, Unix ms, in the answer of `clock_path`; None when it tells none."""

    def __call__(self, body: bytes) -> int | None: ...


class SampleOrder(Protocol):
    """A plain order as a bot would send it, to show what tagging makes of it; never sent.

    Returns the method, the path and the body.
    """

    def __call__(self) -> tuple[bytes, bytes, bytes]: ...
