"""nginx in its two parts: the exchange that both contenders talk to, and the pass-through.

Each is a process of our own in a folder of its own; the machine's nginx service is not touched.
"""

from __future__ import annotations

import contextlib
import datetime
import ipaddress
import shutil
import socket
import subprocess
import time
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.bench.kinds import KINDS

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

HOST: Final = "127.0.0.1"
NGINX: Final = shutil.which("nginx", path="/usr/sbin:/usr/bin:/usr/local/sbin:/usr/local/bin")

_START_SECONDS_MAX: Final = 10.0
# One process and no master: its CPU is the whole of nginx's.
_MAIN: Final = """
daemon off;
master_process off;
pid {folder}/nginx.pid;
error_log {folder}/error.log warn;
events {{ worker_connections 4096; }}
http {{
    access_log {folder}/access.log;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    keepalive_requests 1000000000;
    keepalive_timeout 300s;
    tcp_nodelay on;
{servers}
}}
"""
# Each key is of a user of its own; figures that differ from one answer to the next.
_EXCHANGE: Final = """
    map "$http_ok_access_key$http_x_mexc_apikey$http_kc_api_key" $uid {{
        ~(?<digits>[0-9][0-9][0-9][0-9][0-9])$ 7$digits;
    }}
    map $msec $millisecond {{ ~(?<thousandths>[0-9][0-9][0-9])$ $thousandths; }}
    server {{
        listen {host}:{port} ssl backlog=1024;
        ssl_certificate {folder}/cert.pem;
        ssl_certificate_key {folder}/key.pem;
        ssl_protocols TLSv1.3;
        default_type application/json;
{locations}
    }}
"""
_LOCATION: Final = """
        location = {path} {{{lines}
            return 200 '{body}';
        }}"""
_PASS_THROUGH: Final = """
    upstream exchange {{
        server {host}:{upstream};
        keepalive 256;
        keepalive_requests 1000000000;
    }}
    server {{
        listen {host}:{port} backlog=1024;
        location / {{
            proxy_pass https://exchange;
            proxy_http_version 1.1;
            proxy_set_header Connection "";
            proxy_set_header Host {host}:{upstream};
            proxy_ssl_protocols TLSv1.3;
        }}
    }}
"""


class PeerError(Exception):
    """nginx did not start; the text is what it said."""


def free_port() -> int:
    """A port that nobody listens on just now."""
    with socket.create_server((HOST, 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


def await_listener(port: int, process: subprocess.Popen[bytes], seconds: float) -> None:
    """Return once something accepts on `port`. Raises `PeerError` if `process` ends first."""
    until = time.monotonic() + seconds
    while True:
        with contextlib.suppress(OSError), socket.create_connection((HOST, port), timeout=1):
            return
        if process.poll() is not None or time.monotonic() > until:
            raise PeerError(f"{process.args!r} does not listen")
        time.sleep(0.01)


@contextlib.contextmanager
def exchange(folder: Path) -> Iterator[int]:
    """A TLS 1.3 server that takes the orders of every kind, and knows who asks; yields its port.
    `folder` gets `cert.pem`."""
    _write_certificate(folder)
    port = free_port()
    locations = "".join(
        _LOCATION.format(path=answer.path, lines=answer.lines, body=answer.body.decode())
        for kind in KINDS.values()
        for answer in kind.answers
    )
    servers = _EXCHANGE.format(host=HOST, port=port, folder=folder, locations=locations)
    with _nginx(folder, port, servers):
        yield port


@contextlib.contextmanager
def pass_through(folder: Path, upstream: int) -> Iterator[tuple[int, int]]:
    """nginx between plain bots and the TLS exchange; yields its port and process id."""
    port = free_port()
    servers = _PASS_THROUGH.format(host=HOST, port=port, upstream=upstream)
    with _nginx(folder, port, servers) as pid:
        yield port, pid


@contextlib.contextmanager
def _nginx(folder: Path, port: int, servers: str) -> Iterator[int]:
    if NGINX is None:
        raise PeerError("nginx is not installed")
    conf = folder / "nginx.conf"
    conf.write_text(_MAIN.format(folder=folder, servers=servers), "utf-8")
    command = (NGINX, "-p", str(folder), "-e", str(folder / "error.log"), "-c", str(conf))
    process = subprocess.Popen(command, stderr=subprocess.PIPE)
    try:
        try:
            await_listener(port, process, _START_SECONDS_MAX)
        except PeerError as error:
            process.kill()
            said = process.communicate()[1].decode("utf-8", "replace").strip()
            raise PeerError(said or str(error)) from error
        yield process.pid
    finally:
        process.kill()
        process.communicate()


def _write_certificate(folder: Path) -> None:
    """A certificate for 127.0.0.1 that is its own authority, good for a day."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tagproxy bench")])
    now = datetime.datetime.fromtimestamp(time.time(), datetime.UTC)
    alternative = x509.SubjectAlternativeName(
        [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address(HOST))]
    )
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=1))
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    (folder / "cert.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    private = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    (folder / "key.pem").write_bytes(private)
