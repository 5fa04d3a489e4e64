"""Node with `ws`: JSON parsed and checked with prices as strings, or a bare relay."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Literal

from bench.setup import NODE
from bench.systems.fed import FedSystem

_MODULES = NODE / "node_modules"
_SERVER = Path(__file__).parent.parent / "peers" / "ws_server.js"


class NodeWs(FedSystem):
    def __init__(self, name: str, work: Literal["typed", "relay"], note: str) -> None:
        self.name = name
        self.work = work
        self.note = note

    def missing(self) -> str | None:
        if shutil.which("node") is None:
            return "Node is not installed (Debian: apt install nodejs npm), then python -m bench --setup"
        return None if (_MODULES / "ws").exists() else "python -m bench --setup (npm's ws)"

    def versions(self) -> dict[str, str]:
        node = subprocess.run(["node", "--version"], capture_output=True, text=True, check=False).stdout.strip()
        package = json.loads((_MODULES / "ws" / "package.json").read_text())
        return {"node": node.removeprefix("v"), "ws": str(package["version"])}

    def command(self, port: int) -> list[str]:
        return ["node", str(_SERVER), str(_MODULES), str(port), self.work]


SYSTEMS = (
    NodeWs("node-ws", "typed", "checks members but keeps prices as strings and rounds stamps beyond 2^53: less than typed"),
    NodeWs("node-ws-relay", "relay", "a send for each tick and subscriber"),
)
