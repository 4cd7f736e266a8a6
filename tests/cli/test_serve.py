"""`tagproxy serve` hands over to the composition root."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from proxy import app
from proxy.cli import main

if TYPE_CHECKING:
    import pytest


def test_serve_runs_the_proxy_with_its_file_and_environment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    got: list[Any] = []

    def serve(path: Path, environ: Any) -> int:
        got.extend([path, environ is os.environ])
        return 0

    monkeypatch.setattr(app, "serve", serve)
    assert main(["serve", "-c", "some.toml"]) == 0
    assert got == [Path("some.toml"), True]
