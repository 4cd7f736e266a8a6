"""The tables of `proxy.toml` but the exchanges': which keys they have and how each is written."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from proxy.config import values
from proxy.config.shape import (
    AdminTable,
    LimitsTable,
    SecurityTable,
    ServerTable,
    StorageTable,
    TaggingTable,
)
from proxy.config.values import Wrong

if TYPE_CHECKING:
    from pathlib import Path

    from proxy.config.shape import Secret
    from proxy.config.source import Section

_SQLITE: Final = re.compile(r"sqlite:///[^?#]+")
_SERVER: Final = ServerTable()
_LIMITS: Final = LimitsTable()
_STORAGE: Final = StorageTable(master_keys=())


def read_server(section: Section) -> ServerTable:
    """Read `[server]`."""
    file = section.source.file
    take = section.take
    _check_pair(section, "tls_cert", "tls_key")
    table = ServerTable(
        listen=take("listen", values.address, _SERVER.listen),
        public_url=take("public_url", values.public_url, _SERVER.public_url),
        tls_cert=take("tls_cert", file, _SERVER.tls_cert),
        tls_key=take("tls_key", file, _SERVER.tls_key),
        trusted_proxies=take("trusted_proxies", values.each(values.network), ()),
        proxy_protocol=take("proxy_protocol", values.boolean, _SERVER.proxy_protocol),
        workers=take("workers", _one_worker, _SERVER.workers),
        max_body_bytes=take("max_body", values.size, _SERVER.max_body_bytes),
        max_buffered_bytes=take("max_buffered", values.size, _SERVER.max_buffered_bytes),
        max_connections=take("max_connections", values.positive_integer, _SERVER.max_connections),
        head_timeout_ns=take("head_timeout", values.positive_duration, _SERVER.head_timeout_ns),
        body_timeout_ns=take("body_timeout", values.positive_duration, _SERVER.body_timeout_ns),
        idle_timeout_ns=take("idle_timeout", values.positive_duration, _SERVER.idle_timeout_ns),
        write_timeout_ns=take("write_timeout", values.positive_duration, _SERVER.write_timeout_ns),
        drain_timeout_ns=take("drain_timeout", values.positive_duration, _SERVER.drain_timeout_ns),
    )
    section.end()
    _check_tls(section, table.tls_cert, table.tls_key)
    if table.max_buffered_bytes < table.max_body_bytes:
        section.fault("max_buffered", "is less than max_body")
    return table


def read_admin(section: Section) -> AdminTable:
    """Read `[admin]`."""
    table = AdminTable(listen=section.take("listen", values.address, AdminTable().listen))
    section.end()
    return table


def read_storage(section: Section) -> StorageTable:
    """Read `[storage]`."""
    table = StorageTable(
        url=section.take(
            "url", lambda value: _storage_url(section.source.text(value)), _STORAGE.url
        ),
        master_keys=_read_master_keys(section),
    )
    section.end()
    return table


def read_limits(section: Section) -> LimitsTable:
    """Read `[limits]`."""
    text = section.source.text
    table = LimitsTable(
        backend=section.take("backend", lambda value: _backend(text(value)), _LIMITS.backend),
        max_wait_ns=section.take("max_wait", values.duration, _LIMITS.max_wait_ns),
        jitter_ns=section.take("jitter", values.duration, _LIMITS.jitter_ns),
        unpublished=section.take("unpublished", values.rate, _LIMITS.unpublished),
    )
    section.end()
    return table


def read_security(section: Section) -> SecurityTable:
    """Read `[security]`."""
    default = SecurityTable()
    anonymous = section.take(
        "anonymous_public", values.choice("known", "all", "none"), default.anonymous_public
    )
    writes = section.take(
        "unknown_writes", values.choice("refuse", "forward"), default.unknown_writes
    )
    section.end()
    return SecurityTable(anonymous, writes)


def read_tagging(section: Section) -> TaggingTable:
    """Read `[tagging]`."""
    mode = section.take(
        "on_conflict", values.choice("replace", "keep", "reject"), TaggingTable().on_conflict
    )
    section.end()
    return TaggingTable(mode)


def _one_worker(value: object) -> int:
    if (workers := values.positive_integer(value)) > 1:
        raise Wrong(f"this version serves with one process, not {workers}")
    return workers


def _storage_url(url: str) -> str:
    # The URL may hold a password, so no message shows it.
    if url.startswith(("postgresql://", "postgresql+")):
        raise Wrong("this version cannot serve PostgreSQL; use sqlite:///FILE")
    if not _SQLITE.fullmatch(url) or url.endswith(":memory:"):
        raise Wrong("must be sqlite:///FILE (an absolute FILE makes four slashes)")
    return url


def _backend(name: str) -> str:
    if name.startswith(("redis://", "rediss://", "unix://")):
        raise Wrong('this version cannot keep limits in Redis; use "memory"')
    if name != "memory":
        raise Wrong('must be "memory" or "redis://HOST:PORT/DB"')
    return name


def _read_master_keys(section: Section) -> tuple[Secret, ...]:
    def parse(value: object) -> tuple[Secret, ...]:
        if not isinstance(value, list):
            return (section.source.master_key(value),)
        if not value:
            raise Wrong("must hold at least one key")
        keys = values.each(section.source.master_key)(value)
        if len(set(keys)) < len(keys):
            raise Wrong("holds the same key twice")
        return keys

    return section.need("master_key", parse, ())


def _check_pair(section: Section, first: str, second: str) -> None:
    for there, other in ((first, second), (second, first)):
        if section.has(there) and not section.has(other):
            section.fault(there, f"needs {other} beside it")


def _check_tls(section: Section, cert: Path | None, key: Path | None) -> None:
    if cert is None or key is None:
        return
    import ssl  # 10 ms that commands without TLS need not pay

    try:
        ssl.create_default_context(ssl.Purpose.CLIENT_AUTH).load_cert_chain(
            cert, key, password=_no_password
        )
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        what = (
            "tls_key belongs to another certificate" if mismatch else "not PEM, or tls_key is not"
        )
        section.fault("tls_cert", what)
    except ValueError as error:
        section.fault("tls_key", str(error))


def _no_password() -> str:
    raise Wrong("the key is locked by a password")
