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
    from collections.abc import Callable, Mapping, Sequence

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


@final
@dataclass(frozen=True, slots=True)
class Venue:
    """One API of an exchange. The first is `main`, which bots reach without a prefix of its own.

    `beside_main`: its paths are no other venue's, so they are served below main's prefix too.
    `optional`: it lives at an address of its own, and is served only where that is configured;
    else it is at main's unless configured otherwise.
    """

    name: str
    beside_main: bool = False
    optional: bool = False


@final
@dataclass(frozen=True, slots=True)
class Option:
    """A configuration key that only one kind of exchange has, and the words it may have."""

    name: str
    words: tuple[str, ...]
    default: str
    doc: str


@final
@dataclass(frozen=True, slots=True)
class Sample:
    """A plain order as a bot would send it, to show what tagging makes of it; never sent."""

    venue: str
    method: bytes
    path: bytes
    suffix: bytes
    body: bytes


class Identify(Protocol):
    """Read the claim off a request's head; `None` when it carries no credentials at all.

    Raises `Refusal`: `missing_credentials` (some but not all), `stale_timestamp` (not a time),
    `bad_request` (a header of the claim makes no sense). Whether the time is fresh the pipeline
    sees by the claim's bounds. What stands in the body, which is not there yet, `verify` adds.
    """

    def __call__(self, request: Request) -> Claim | None: ...


class Verify(Protocol):
    """Prove a claim with the credentials it names; return the HMAC computed (the replay key).

    Accepts every form that real clients sign: path with or without our prefix, the query as
    received, percent-decoded or plus-decoded. Signature before passphrase, in constant time.
    A signature that does not cover the whole request is none where the endpoint creates or moves
    something. Completes a claim whose time or signature stood in the body. Raises `Refusal`:
    `bad_signature`, `bad_passphrase`, and for such a claim what `identify` does.
    """

    def __call__(
        self, endpoint: Endpoint, request: Request, claim: Claim, credentials: Credentials
    ) -> bytes: ...


class Complete(Protocol):
    """Add what stands in the body to a claim that `verify` never sees, as the bot's signature is
    forwarded; called where the head told no time. Raises as `identify` does."""

    def __call__(self, request: Request, claim: Claim) -> None: ...


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
    came: for accounts whose secret we do not hold. Its broker's headers too; a `broker` replaces
    them by its own, where no signature of the bot's covers them. Raises `Refusal`:
    `bad_request`."""

    def __call__(self, request: Request, broker: Broker | None) -> bytes: ...


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
    venues: tuple[Venue, ...]  # main first
    endpoints: tuple[Endpoint, ...]
    pools: tuple[Pool, ...]  # every pool by name, for overrides
    options: tuple[Option, ...]
    configured: Configured
    broker_keys: tuple[str, ...]  # that a configuration must have beside broker_code
    signs_path: bool  # whether a bot's signature covers method and path
    passed_headers: tuple[bytes, ...]  # the bot's own that go on, beside the four general ones
    writes_headers: tuple[bytes, ...]  # general ones that every head here has; in lower case
    identify: Identify
    verify: Verify
    complete: Complete
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
    unserved: Unserved
    code_fault: CodeFault
    triple_fault: TripleFault
    issue: Issue
    lessons: tuple[Lesson, ...]  # the first tells the uid, and is asked before all else
    clock_path: bytes  # a public read that tells the exchange's time
    read_clock: ReadClock
    sample_orders: SampleOrders


class ClientOrderIds(Protocol):
    """The bot's own order ids in what `read` returned, comma-joined; for the log line."""

    def __call__(self, content: Any) -> str: ...


class Reduces(Protocol):
    """Whether everything a request orders can only make positions smaller."""

    def __call__(self, endpoint: Endpoint, content: Any) -> bool: ...


class SensitiveClass(Protocol):
    """The sensitive class of a path, "" if none; `path` is percent-decoded and lower-case."""

    def __call__(self, method: str, path: str) -> str: ...


class Unserved(Protocol):
    """Why a path that no row knows is never served, "" if it may be; `path` is percent-decoded
    and lower-case."""

    def __call__(self, method: str, path: str) -> str: ...


class Configured(Protocol):
    """The same exchange with a word for each of its options; those left out have their default."""

    def __call__(self, options: Mapping[str, str]) -> Exchange: ...


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


class SampleOrders(Protocol):
    """One plain order for each venue that takes orders."""

    def __call__(self) -> tuple[Sample, ...]: ...
