"""What is refused in a configuration: for everything, where it is wrong and what to write instead."""

from __future__ import annotations

import pytest

from finstream.services.config import read
from finstream.vocabulary.errors import ConfigError

ASSET = "assets: {sim: {command: [x]%s}}"
SINK = "assets: {sim: {command: [x]}}\nsinks: {s: {command: [x], topics: [%s]}}"
QUALITY = "assets.sim.quality"
RESTART = "assets.sim.restart"


def refused(text: str) -> ConfigError:
    with pytest.raises(ConfigError) as caught:
        read(text, "test.yaml")
    return caught.value


@pytest.mark.parametrize(
    ("text", "where", "problem", "remedy"),
    [
        # the file as a whole
        ("", "test.yaml", "holds no settings", "{}"),
        ("# only a comment\n", "test.yaml", "holds no settings", "{}"),
        ("- a\n", "test.yaml", "a list instead of keys", "key: value"),
        ("mode", "test.yaml", "the text 'mode' instead of keys", "key: value"),
        ("a: b: c", "test.yaml, line 1, column 5", "mapping values are not allowed", "indentation"),
        ("a:\n\tb: 1", "test.yaml, line 2, column 1", "cannot start any token", "spaces, not tabs"),
        ("mode: [a", "test.yaml, line 1, column 9", "not valid YAML", "check"),
        ("mode:production\nlogs: {}", "test.yaml, line 2, column 5", "not valid YAML", "check"),
        ("mode: a\nmode: b", "test.yaml, line 2, column 1", "'mode' occurs twice; first in line 1", "one of"),
        ("assets:\n  a: {command: [x]}\n  a: {}", "test.yaml, line 3, column 3", "'a' occurs twice", "one of"),
        ("{}\n---\n{}", "test.yaml, line 2, column 1", "not valid YAML", ""),
        ("a: *b", "test.yaml, line 1, column 4", "undefined alias", ""),
        ("a: !!python/object:os.system x", "test.yaml, line 1, column 4", "could not determine a constructor", ""),
        ("a: 2026-02-30", "test.yaml", "day is out of range", "quote"),
        ("[" * 1000, "test.yaml", "nested too deeply", "right file"),
        # keys
        ("asets: {}", "asets", "unknown key", "did you mean assets?"),
        ("telemetri: {period_s: 10}", "telemetri", "unknown key", "did you mean telemetry?"),
        ("surprise: {}", "surprise", "unknown key", "known here: admin, assets"),
        ("telemetry: {period_s: 0.5}", "telemetry.period_s", "0.5 is out of range", "write 1 to 3600"),
        ("market: {poll_s: 60}", "market.poll_s", "unknown key", "did you mean poll_"),
        ("market: {simulate: ON}", "market.simulate", "true is not one of the choices", "pre-market or open or"),
        ("market: {poll_open_s: 0}", "market.poll_open_s", "0 is out of range", "write 1 to 86400"),
        ("market: {url: api.nasdaq.com}", "market.url", "is not the address of", "https://api.nasdaq.com"),
        ('market: {url: "ftp://api.nasdaq.com"}', "market.url", "is not the address of", "https://api.nasdaq.com"),
        ('restart_at: "24:00"', "restart_at", "hour must be in 0..23", "in New York"),
        ('restart_at: "3:30"', "restart_at", "'3:30' is not HH:MM", "in quotes"),
        ("restart_at: 13:30", "restart_at", "expected a text, got the number 810", "quote it"),
        (ASSET % ', restart_at: "03:60"', "assets.sim.restart_at", "minute must be in 0..59", "in New York"),
        (ASSET % ', restart_at: "0330"', "assets.sim.restart_at", "'0330' is not HH:MM", "in quotes"),
        ("limits: {memory_soft_bytes: 1}", "limits.memory_soft_bytes", "1 is out of range", "write 1048576 to"),
        ("limits: {memory_hard_bytes: 268435455}", "limits.memory_hard_bytes", "less than limits.memory_soft_bytes",
         "write 268435456 or more"),
        (ASSET % ", priority: 10", "assets.sim.priority", "10 is out of range", "write 0 to 9"),
        ("client_classes: {gold: {priority: -1}}", "client_classes.gold.priority", "-1 is out of range", "write 0 to 9"),
        ("client_classes: {Gold: {}}", "client_classes.Gold", "'Gold' cannot be a name", "lower-case"),
        ("client_classes: {gold: 5}", "client_classes.gold", "got the number 5", "indent"),
        ("client_classes: {gold: {prio: 5}}", "client_classes.gold.prio", "unknown key", "did you mean priority?"),
        ("tls: {cert: a.pem}", "tls.cert", "unknown key", "did you mean cert_file?"),
        ("tls: {cert_file: a.pem}", "tls.key_file", "is missing, while tls.cert_file is set", "set both, or neither"),
        ("tls: {key_file: a.pem}", "tls.cert_file", "is missing, while tls.key_file is set", "set both, or neither"),
        ('tls: {cert_file: "", key_file: a.pem}', "tls.cert_file", "'' is not the path of a file", "name a PEM file"),
        (ASSET % ", market: nyse", "assets.sim.market", "'nyse' is not one of the choices", "always or nasdaq"),
        (SINK.replace("topics", "production: 1, topics") % "sim", "sinks.s.production", "expected true or false", "true or false"),
        (ASSET % ", quality: {band_pc: 5}", "assets.sim.quality.band_pc", "unknown key", "band_pct"),
        (ASSET % ", quality: {band_pct: 0}", "assets.sim.quality.band_pct", "out of range", "0.001 to 99"),
        (ASSET % ", quality: {duplicates: keep}", "assets.sim.quality.duplicates", "keep", "drop"),
        (ASSET % ", linger: 5", "assets.sim.linger", "unknown key", "did you mean linger_s?"),
        ("NO: 1", "False", "unknown key", "known here"),
        ("logs: {[a]: 1}", "test.yaml, line 1, column 8", "unhashable key", ""),
        ("assets: {sim: {}}", "assets.sim.command", "is missing", "a list"),
        ("sinks: {s: {command: [x]}}", "sinks.s.topics", "is missing", "a list"),
        ("assets: {a: &a {b: *a}}", "assets.a.b", "unknown key", "known here"),
        # types, and what YAML makes of bare words
        ("logs: 5", "logs", "expected keys below it, got the number 5", "indent"),
        ("assets: [sim]", "assets", "expected names with values, got a list", "name: value"),
        ("mode: prod", "mode", "'prod' is not one of the choices", "production or simulation"),
        ("mode: 5", "mode", "the number 5 is not", "production or simulation"),
        ("logs: {level: ON}", "logs.level", "true is not one of the choices", "debug or info or"),
        ("listen: {public: 8080}", "listen.public", "expected a text, got the number 8080", "quote it"),
        ("assets: {sim: {command: run.sh}}", "assets.sim.command", "expected a list, got", "[run.sh]"),
        ("assets: {sim: {command: [x, NO]}}", "assets.sim.command[1]", "expected a text, got false", 'like "NO"'),
        ("assets: {sim: {command: [x, ON]}}", "assets.sim.command[1]", "expected a text, got true", 'like "ON"'),
        ("assets: {sim: {command: [x, 1:30]}}", "assets.sim.command[1]", "got the number 90", "1:30"),
        ("assets: {sim: {command: [x, ]}, t: {command: [~]}}", "assets.t.command[0]", "got null", 'like "NULL"'),
        ("assets: {sim: {command: [[x]]}}", "assets.sim.command[0]", "expected a text, got a list", "a text"),
        ("assets: {NO: {command: [x]}}", "assets.False", "the name is read as false", 'like "NO"'),
        ("assets: {1: {command: [x]}}", "assets.1", "the name is read as the number 1", "quote it"),
        (ASSET % ", env: {PORT: 8080}", "assets.sim.env.PORT", "got the number 8080", "quote it"),
        (ASSET % ", env: {ON: x}", "assets.sim.env.True", "the name is read as true", "quote it"),
        (ASSET % ", linger_s: 10s", "assets.sim.linger_s", "got the text '10s'", "the unit is in the"),
        (ASSET % ", linger_s: true", "assets.sim.linger_s", "expected a number, got true", "a number"),
        (ASSET % ", linger_s: .inf", "assets.sim.linger_s", "not a usable number", "finite"),
        (ASSET % ", linger_s: .nan", "assets.sim.linger_s", "not a usable number", "finite"),
        (ASSET % ", linger_s: null", "assets.sim.linger_s", "expected a number, got null", "a number"),
        ("limits: {clients: 1.5}", "limits.clients", "expected a whole number", "without a fraction"),
        ("limits: {clients: true}", "limits.clients", "expected a whole number, got true", "a whole number"),
        ("limits: {clients: 1%s}" % ("0" * 40), "limits.clients", "too large", "smaller"),
        ("limits: {clients: 1%s}" % ("0" * 5000), "test.yaml", "not valid YAML", ""),
        (ASSET % ", restart: {max_s: 1%s}" % ("0" * 40), "assets.sim.restart.max_s", "a huge number", "a number"),
        # ranges
        ("state: {reconnect_window_s: 0}", "state.reconnect_window_s", "0 is out of range", "0.1 to 2592000"),
        ("limits: {outbox_bytes: 100}", "limits.outbox_bytes", "100 is out of range", "1024 to 1073741824"),
        ("limits: {line_bytes: 65537}", "limits.line_bytes", "65537 is out of range", "64 to 65536"),
        ("limits: {clients: 0}", "limits.clients", "0 is out of range", "1 to"),
        ("dead_letters: {files: 0}", "dead_letters.files", "0 is out of range", "1 to"),
        (ASSET % ", linger_s: -1", "assets.sim.linger_s", "-1 is out of range", "0 to"),
        (ASSET % ", stop_grace_s: 1e9", "assets.sim.stop_grace_s", "expected a number, got the text '1e9'", "exponent"),
        (ASSET % ", stop_grace_s: 9999999", "assets.sim.stop_grace_s", "9999999 is out of range", "0 to 3600"),
        (ASSET % ", quality: {max_age_ms: 0}", "assets.sim.quality.max_age_ms", "0 is out of range", "1 to"),
        (ASSET % ", restart: {circuit_failures: 0}", "assets.sim.restart.circuit_failures", "out of range", "1 to"),
        (ASSET % ", restart: {initial_s: 5, max_s: 1}", "assets.sim.restart.max_s", "less than", "5 or more"),
        # addresses
        ('listen: {public: "8080"}', "listen.public", "not host:port", "127.0.0.1:8080"),
        ('listen: {public: ":8080"}', "listen.public", "not host:port", "127.0.0.1:8080"),
        ('listen: {public: "localhost:"}', "listen.public", "not a port", "127.0.0.1:8080"),
        ('listen: {stream: "localhost:65536"}', "listen.stream", "'65536' is not a port", "port 0 picks"),
        ('listen: {stream: "localhost:-1"}', "listen.stream", "'-1' is not a port", "port 0 picks"),
        ('listen: {stream: "localhost:²"}', "listen.stream", "'²' is not a port", "port 0 picks"),
        ('listen: {admin: "::1:8090"}', "listen.admin", "needs brackets", "[::1]:8080"),
        ('listen: {admin: "[nowhere]:8090"}', "listen.admin", "not an IPv6 address", "[::1]:8080"),
        ('listen: {admin: "http://x:8090"}', "listen.admin", "needs brackets", "host:port"),
        ('listen: {admin: "a b:8090"}', "listen.admin", "neither a host name nor an address", "host:port"),
        ('listen: {admin: "127.0.0.1:8080"}', "listen.admin", "the same address as listen.public", "its own port"),
        ('listen: {origins: ["*"]}', "listen.origins[0]", "not a web origin", "https://dash.example.com"),
        ('listen: {origins: ["null"]}', "listen.origins[0]", "not a web origin", "https://"),
        ('listen: {origins: ["https://a.example/"]}', "listen.origins[0]", "not a web origin", "no path"),
        ('listen: {origins: ["https://A.example"]}', "listen.origins[0]", "not a web origin", "lower case"),
        ('listen: {origins: ["https://a", "a.example"]}', "listen.origins[1]", "not a web origin", "scheme"),
        ('listen: {origins: ["https://u:p@a"]}', "listen.origins[0]", "not a web origin", "scheme"),
        ('listen: {origins: ["https://a:x"]}', "listen.origins[0]", "not a web origin", "scheme"),
        # meaning
        ('admin: {token_env: ""}', "admin.token_env", "not the name of an", "into the variable"),
        ("admin: {token_env: hunter-2}", "admin.token_env", "not the name of an", "into the variable"),
        ('state: {path: ""}', "state.path", "not the path of a file", "var/name"),
        ("state: {path: var/}", "state.path", "not the path of a file", "var/name"),
        ("state: {path: x}\ndead_letters: {path: x}", "dead_letters.path", "the same file as state.path", "its own"),
        ("assets: {Sim: {command: [x]}}", "assets.Sim", "cannot be a name", "lower-case"),
        ('assets: {"a b": {command: [x]}}', "assets.a b", "cannot be a name", "lower-case"),
        ("assets: {%s: {command: [x]}}" % ("a" * 65), "assets." + "a" * 65, "cannot be a name", "at most 64"),
        ("assets: {best: {command: [x]}}", "assets.best", "best is reserved", "another name"),
        ("sinks: {best: {command: [x], topics: [a]}}", "sinks.best", "best is reserved", "another name"),
        ("sinks: {S: {command: [x], topics: [a]}}", "sinks.S", "cannot be a name", "lower-case"),
        ("assets: {a: {command: [x]}}\nsinks: {a: {command: [x], topics: [a]}}", "sinks.a", "has this name", "rename"),
        ("assets: {sim: {command: []}}", "assets.sim.command", "names no program", "python"),
        ('assets: {sim: {command: [""]}}', "assets.sim.command", "names no program", "python"),
        ('assets: {sim: {command: ["x", "a\\0b"]}}', "assets.sim.command[1]", "NUL", "remove"),
        (ASSET % ', cwd: ""', "assets.sim.cwd", "is empty", "leave the key out"),
        (ASSET % ', cwd: "a\\0"', "assets.sim.cwd", "NUL", "remove"),
        (ASSET % ', env: {"A=B": x}', "assets.sim.env", "cannot name a variable", "letters"),
        (ASSET % ', env: {A: "\\0"}', "assets.sim.env.A", "NUL", "remove"),
        (ASSET % ", env: {FINSTREAM_ENGINE: x}", "assets.sim.env.FINSTREAM_ENGINE", "by the engine", "another name"),
        ("sinks: {s: {command: [x], topics: []}}", "sinks.s.topics", "is empty", "list what"),
        ("sinks: {s: {command: [x], topics: [sim]}}", "sinks.s.topics[0]", "no asset 'sim'", "there are none yet"),
        (SINK % "sin", "sinks.s.topics[0]", "no asset 'sin'", "did you mean sim?"),
        (SINK % "sim, sim", "sinks.s.topics[1]", "listed twice", "one of"),
        (SINK % '"sim:"', "sinks.s.topics[0]", "a symbol has", "asset:SYMBOL"),
        (SINK % "ON", "sinks.s.topics[0]", "got true", 'like "ON"'),
    ],
)  # fmt: skip
def test_what_is_refused_says_where_and_what_to_write(text: str, where: str, problem: str, remedy: str) -> None:
    error = refused(text)
    assert error.where == where
    assert problem in error.problem
    assert remedy in error.remedy
    assert error.remedy, "every error has a remedy"


@pytest.mark.parametrize("origin", ["synthetic", "replay"])
def test_production_has_no_made_up_data(origin: str) -> None:
    text = ASSET % f", origin: {origin}"
    for mode in ("", "mode: production\n"):
        error = refused(mode + text)
        assert error.where == "assets.sim.origin"
        assert f"{origin} data is not allowed in mode: production" in error.problem
        assert "origin: live" in error.remedy
        assert "mode: simulation" in error.remedy
    assert read("mode: simulation\n" + text, "test.yaml").assets["sim"].origin == origin
