"""The local addresses that a site sends from: which one a request takes, and when one rests.

Budgets "per IP" belong to an address. An account keeps to one, of those its real key is bound to
where the exchange told us; which one follows from the account and the addresses alone, so that a
restart changes nothing. An address that the exchange refuses rests for as long as it says.
"""

from __future__ import annotations

from hashlib import sha256
from ipaddress import ip_address, ip_network
from typing import TYPE_CHECKING, Final, cast, final

from proxy.errors import Refusal
from proxy.model import NO_BAN, Response
from proxy.passage import UNSIGNED

if TYPE_CHECKING:
    from collections.abc import Callable

    from proxy.accounts.standing import Standing
    from proxy.limits.history import Subject
    from proxy.metrics import Count
    from proxy.model import Verdict
    from proxy.passage import Passage
    from proxy.routes import Connections

REST_FIRST_NS: Final = 5_000_000_000  # where the exchange does not say; doubled each time
REST_MAX_NS: Final = 300_000_000_000
ODD_NS: Final = 3_600_000_000_000  # for how long an asker whose requests the edge minds is known
_ODD_MAX: Final = 100
_HOMES_MAX: Final = 4  # of one account: one for each venue
AVOIDED_NS: Final = 10_000_000_000  # after no connection could be had
_ROUND_NS: Final = 60_000_000_000  # how often all addresses are tried for one key
_FORBIDDEN: Final = 403
_MS: Final = 1_000_000
_S: Final = 1_000_000_000


@final
class Egress:
    """One local address towards one exchange host. "default": the system chooses it."""

    __slots__ = (
        "_avoided_ns",
        "_bans",
        "_met",
        "_odd",
        "_report",
        "address",
        "beside",
        "connecting",
        "connections",
        "rests_until_ns",
        "strikes",
        "subject",
    )

    def __init__(
        self,
        address: str,
        counted_at: str,
        connections: Connections,
        bans: Count,
        report: Callable[[str, int], None],
    ) -> None:
        """`counted_at` is the host whose budgets these are, another venue's may be; `report` is
        told the address and for how many seconds it rests."""
        self.address = address
        self.connections = connections
        self.beside: tuple[Egress, ...] = ()  # to the exchange's other hosts, from this address
        self.connecting = 0  # requests that wait for a connection and take their slots then
        # whose budgets "per IP" these are: one for live and demo, since nobody says they are two
        self.subject: Subject = (counted_at, address, False)
        self.rests_until_ns = 0
        self._avoided_ns = 0  # until when others go first: no connection can be had
        self._bans = bans
        self._report = report
        self.strikes = 0  # bans of unknown length since the last good answer
        self._met = ""  # who met them, "" for several
        self._odd: dict[str, int] = {}  # who alone met one, and since when that is known

    def ban(self, now_ns: int, ban_ms: int, who: str = "") -> bool:
        """The exchange refuses this address, for `ban_ms` or, if that is 0, for it does not say
        how long.

        False where the edge may just as well mind what `who` asks for, "" being nobody: it alone
        met such a no before, and somebody else was served next. The address does not rest then,
        or one bot's odd requests would keep it from all the others.
        """
        resting = now_ns < self.rests_until_ns
        if not ban_ms:
            if resting:
                return True  # sent before the first of them was known
            if not self.strikes and now_ns < self._odd.get(who, -ODD_NS) + ODD_NS:
                return False
            self._met = who if not self.strikes or who == self._met else ""
            ban_ms = min(REST_FIRST_NS << min(self.strikes, 10), REST_MAX_NS) // _MS
            self.strikes += 1
        self.rests_until_ns = max(self.rests_until_ns, now_ns + ban_ms * _MS)
        for other in self.beside:  # an edge stands before all hosts of an exchange
            other.rest_as(self)
        if not resting:
            self._bans.n += 1
            self._report(self.address, -(-ban_ms * _MS // _S))
        return True

    def unreachable(self, now_ns: int) -> bool:
        """No connection can be had from here. Return whether that is news."""
        is_news = now_ns >= self._avoided_ns
        self._avoided_ns = now_ns + AVOIDED_NS
        return is_news

    def serves(self, now_ns: int) -> bool:
        """Whether this address may be used, and can as far as is known."""
        return now_ns >= self.rests_until_ns and now_ns >= self._avoided_ns

    def rest_as(self, other: Egress) -> None:
        """Rest as long as another way from the same address to the same exchange does."""
        if other.subject == self.subject:
            self.rests_until_ns = max(self.rests_until_ns, other.rests_until_ns)
            self.strikes = max(self.strikes, other.strikes)

    def recovered(self, who: str) -> None:
        """After bans the exchange answers as it should, `who` first."""
        if self._met not in ("", who):
            if len(self._odd) >= _ODD_MAX:
                del self._odd[next(iter(self._odd))]
            self._odd[self._met] = self.rests_until_ns
        self.strikes = 0


def home_of(egresses: tuple[Egress, ...], standing: Standing, now_ns: int) -> Egress:
    """Return the address that an account's requests leave from. Raises `Refusal`
    (`exchange_ban`) while every address it may use rests."""
    if len(egresses) == 1:
        egress = egresses[0]
        if now_ns < egress.rests_until_ns:
            raise _all_rest(egresses, now_ns)
        return egress
    usable = _home(egresses, standing).usable
    for egress in usable:
        if egress.serves(now_ns):
            return egress
    return awake(usable, now_ns)[0]


def moves_on(passage: Passage, response: Response, verdict: Verdict, now_ns: int) -> bool:
    """Take note of what an answer says of the address it was asked from. True if the exchange did
    nothing because of that, so that it may be asked from another: it refuses the address
    altogether, or the key from there."""
    egress, site, access = passage.egress, passage.route.site, passage.access
    assert egress is not None
    if verdict.ban_ms != NO_BAN:
        # nothing behind the edge has seen the request
        # only a plain 403 may be meant for the request and not for our address
        who = asker(passage) if response.status == _FORBIDDEN else ""
        # a stranger's query may be what the edge minds, and strangers are many
        odd = who != "" and passage.stranger and not verdict.ban_ms
        moves = not odd and egress.ban(now_ns, verdict.ban_ms, who)
    else:
        if egress.strikes:
            egress.recovered(asker(passage))
        moves = (
            verdict.key_refused
            and len(site.egresses) > 1
            and access is not None
            and passage.manner != UNSIGNED
            and _is_for_address(passage, verdict)
            and _try_elsewhere(passage, access.account.standing, egress, now_ns)
        )
    if moves:
        passage.sent = False
    return moves


def asker(passage: Passage) -> str:
    """Whose request it is: an account, or where it comes from."""
    access = passage.access
    return passage.request.peer if access is None else access.account.id


def _is_for_address(passage: Passage, verdict: Verdict) -> bool:
    """Whether the exchange refused a key for the address that it came from: its code for that is
    the one that we say so with ourselves."""
    endpoint, exchange = passage.route.endpoint, passage.route.site.exchange
    status, body = exchange.refusal("ip_not_allowed", endpoint.path.encode(), "")
    ours = exchange.classify(endpoint, Response(status, [], body, keep_alive=True))
    return verdict.code == ours.code


def _try_elsewhere(passage: Passage, standing: Standing, refused: Egress, now_ns: int) -> bool:
    """The exchange does not take the account's key from the address `refused`. Return whether
    there is another to try; which one, `home_of` says."""
    egresses = passage.route.site.egresses
    home = _home(egresses, standing)
    if home.known:  # what was learned of the key is not so any more, and to be asked anew
        standing.addresses = ()
        standing.learned_ms = 0
        standing.ask_ms = passage.wall_ms
        home = _home(egresses, standing)
    return home.refuse(refused, now_ns)


def _home(egresses: tuple[Egress, ...], standing: Standing) -> Home:
    homes = standing.homes
    for home in homes:
        if home.egresses is egresses and home.bound is standing.addresses:
            return cast("Home", home)
    others = [home for home in homes if home.egresses is not egresses]
    made = Home(egresses, standing)
    standing.homes = (made, *others[: _HOMES_MAX - 1])
    return made


@final
class Home:
    """An account's addresses, the one to use first. Where the key is bound to none of ours it may
    be to what a router makes of them: then the exchange has to tell which will do."""

    __slots__ = ("_ranked", "_refused", "_round_ns", "bound", "egresses", "known", "usable")

    def __init__(self, egresses: tuple[Egress, ...], standing: Standing) -> None:
        self.egresses = egresses
        self.bound = standing.addresses
        allowed = [each for each in egresses if _is_bound(each.address, self.bound)]
        self.known = bool(allowed)  # that the key may be used from these
        account = standing.account_id
        self._ranked = tuple(
            sorted(allowed or egresses, key=lambda egress: _rank(account, egress.address))
        )
        self.usable = self._ranked
        self._refused: list[Egress] = []  # not taken from there when it was last tried
        self._round_ns = 0  # until when none of them is tried again

    def refuse(self, egress: Egress, now_ns: int) -> bool:
        """Use `egress` no longer. False when all were tried of late: the key is to blame."""
        if now_ns >= self._round_ns:
            self._refused = []
            self._round_ns = now_ns + _ROUND_NS
        if egress not in self._refused:
            self._refused.append(egress)
        left = tuple(each for each in self._ranked if each not in self._refused)
        self.usable = left or self._ranked
        return bool(left)


def _is_bound(address: str, bound: tuple[str, ...]) -> bool:
    """Whether a key bound to `bound`, addresses and networks, may be used from `address`."""
    for word in bound:
        try:
            if word == address or ip_address(address) in ip_network(word, strict=False):
                return True
        except ValueError:  # "default", or a word that is neither
            continue
    return False


def _rank(account_id: str, address: str) -> bytes:
    """Rendezvous hashing: an address more or less moves none but the accounts it has to."""
    return sha256(f"{account_id} {address}".encode()).digest()


def awake(egresses: tuple[Egress, ...], now_ns: int) -> list[Egress]:
    """Return the addresses to use now. Raises `Refusal` (`exchange_ban`) if all rest."""
    found = [egress for egress in egresses if egress.serves(now_ns)]
    if found:
        return found
    found = [egress for egress in egresses if now_ns >= egress.rests_until_ns]
    if not found:
        raise _all_rest(egresses, now_ns)
    return found


def _all_rest(egresses: tuple[Egress, ...], now_ns: int) -> Refusal:
    first = min(egresses, key=lambda egress: egress.rests_until_ns)
    left_ms = -(-(first.rests_until_ns - now_ns) // _MS)
    return Refusal(
        "exchange_ban",
        f"the exchange refuses this proxy's address for now, next try in {left_ms} ms;"
        " no fault of your key",
        retry_after_ms=left_ms,
    )
