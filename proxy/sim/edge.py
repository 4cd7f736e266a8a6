"""What stands before the simulated exchange and refuses an address: pages, never its JSON.

https://developers.cloudflare.com/support/troubleshooting/http-status-codes/cloudflare-1xxx-errors/
"""

from __future__ import annotations

from email.utils import formatdate
from typing import TYPE_CHECKING, Final

from proxy.sim import answers

if TYPE_CHECKING:
    from proxy.sim.answers import Answer
    from proxy.sim.faults import Fault

_PAGE: Final = (
    '<!DOCTYPE html>\n<html lang="en-US">\n<head><title>{title}</title></head>\n'
    "<body><h1>{heading}</h1><p>{words}</p></body>\n</html>\n"
)
# kind: status, title, heading, words, what Retry-After says by itself
_PAGES: Final = {
    "ban-1015": (
        429,
        "Access denied | {site} used Cloudflare to restrict access",
        "Error 1015",
        "You are being rate limited. You have been banned temporarily. error code: 1015",
        "-",
    ),
    "ban-403": (
        403,
        "Attention Required! | Cloudflare",
        "Sorry, you have been blocked",
        "You are unable to access {site}. error code: 1020",
        "-",
    ),
    "ban-418": (418, "418 I'm a teapot", "418 I'm a teapot", "Go away.", "left"),
    "ban-429": (429, "429 Too Many Requests", "429 Too Many Requests", "nginx", "left"),
}
BANS: Final = tuple(_PAGES)


def page(fault: Fault, site: str, now_ns: int, wall_ms: int) -> Answer:
    """Return what an address that is banned gets to see of `site`."""
    status, title, heading, words, habit = _PAGES[fault.kind]
    left_ms = fault.left_ms(now_ns)
    value = fault.retry_after or habit
    if value == "left":
        value = str(max(-(-left_ms // 1000), 1))
    elif value == "date":
        value = formatdate(-(-(wall_ms + left_ms) // 1000), usegmt=True)
    headers = {"Server": "cloudflare", "CF-RAY": "8f2d6c0a9b1e4d3f-FRA"}
    if value != "-":
        headers["Retry-After"] = value
    body = _PAGE.format(title=title, heading=heading, words=words).replace("{site}", site)
    return answers.page(fault.status or status, body, headers | fault.headers)
