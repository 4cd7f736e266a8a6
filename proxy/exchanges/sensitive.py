"""Which sensitive class a path has, in the table or not."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from proxy.exchanges.spec import SensitiveClass
    from proxy.model import Endpoint


def sensitive_paths(
    endpoints: Iterable[Endpoint], parts: Iterable[tuple[str, str]]
) -> SensitiveClass:
    """Return an exchange's `sensitive_class`: a row's own class where one has the path; else a
    part of the path gives it away, whatever its version, the first of `parts` (part, class)."""
    known = {
        (endpoint.method, endpoint.path.lower()): endpoint.sensitive
        for endpoint in endpoints
        if endpoint.method != "WS"
    }
    telling = tuple(parts)

    def sensitive_class(method: str, path: str) -> str:
        found = known.get((method, path))
        if found is not None:
            return found
        return next((name for part, name in telling if path.find(part) >= 0), "")

    return sensitive_class
