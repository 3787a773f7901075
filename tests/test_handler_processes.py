"""EtwHandler in whole processes: configured by dictConfig, beside a global provider, forked."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from otel_etw import open_etl
from otel_etw.layouts.common_schema import decode_log
from otel_etw.layouts.items import LogItem
from session_events import run_child

needs_fork = pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork on this system")


def logs_in(path: Path) -> list[LogItem]:
    with open_etl(path) as trace:
        items = [decode_log(event.values, -1) for event in trace if event.kind == "event"]
    return [item for item in items if item is not None]


CONFIGURED = """
import json, logging, logging.config, sys
logging.config.dictConfig(json.loads(sys.argv[1]))
log = logging.getLogger("shop")
log.info("too low")
log.warning("order %d", 17, extra={"user": "ann", "items": ["tea"]})
try:
    1 / 0
except ZeroDivisionError:
    log.exception("failed")
handler = log.handlers[0]
assert handler.stats.written == 2, handler.stats
# What was configured before is closed.
logging.config.dictConfig({"version": 1, "disable_existing_loggers": False})
log.addHandler(handler)
log.warning("too late")
assert handler.stats.dropped == {"shut down": 1}, handler.stats
"""


@pytest.mark.parametrize("key", ["class", "()"])
def test_a_dictionary_configures_the_handler(
    key: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With plain values only: the level and all options as text, numbers and lists."""
    monkeypatch.setenv("OTEL_EXPORTER_ETW_FILE", str(tmp_path / "app.etl"))
    monkeypatch.setenv("OTEL_RESOURCE_ATTRIBUTES", "service.name=shop,host.name=h1")
    configuration = {
        "version": 1,
        "formatters": {"short": {"format": "<%(message)s>"}},
        "handlers": {
            "etw": {
                key: "otel_etw.EtwHandler",
                "level": "WARNING",
                "formatter": "short",
                "provider_name": "Shop",
                "resource_attributes": ["host.name"],
                "event_name": "Line",
                "keyword": 4,
                "activity_id": "trace",
                "provider_group": "edc24920-e004-40f6-a8e1-0e6e48f39d84",
                "mark_utf8": True,
                "oversize": "drop",
                "log_code_attributes": True,
                "structured_body": True,
            }
        },
        "loggers": {"shop": {"level": "INFO", "handlers": ["etw"]}},
    }
    run_child(CONFIGURED, json.dumps(configuration))
    first, second = logs_in(tmp_path / "app.etl")
    assert (first.body, first.severity_text, first.service_name) == ("<order 17>", "WARN", "shop")
    expected: dict[str, Any] = {"user": "ann", "items": ["tea"], "host.name": "h1", "code.line.number": 6}
    assert {name: first.attributes[name] for name in expected} == expected
    assert second.attributes["exception.type"] == "ZeroDivisionError"


def test_a_global_provider_that_is_set_later_is_noticed(tmp_path: Path) -> None:
    """Until then records are of the process's own resource, made when the first one needs it."""
    run_child(
        """
import logging, sys
from opentelemetry._logs import set_logger_provider
from opentelemetry.sdk._logs import LoggerProvider
from opentelemetry.sdk.resources import Resource
from otel_etw import EtlSession, EtwHandler
with EtlSession(sys.argv[1]) as session:
    handler = EtwHandler(session=session)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.info("before")
    set_logger_provider(LoggerProvider(resource=Resource({"service.name": "late"})))
    log.info("after")
    handler.close()
""",
        tmp_path / "app.etl",
    )
    before, after = logs_in(tmp_path / "app.etl")
    assert (before.service_name or "").startswith("unknown_service")
    assert after.service_name == "late"


@pytest.mark.parametrize("name", ["sdk_logger_provider", "no_such_provider"])
def test_a_global_provider_that_the_environment_names(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is loaded by the first record; if that fails it is not tried again, and the own resource counts."""
    monkeypatch.setenv("OTEL_PYTHON_LOGGER_PROVIDER", name)
    out = run_child(
        """
import logging, os, sys
from opentelemetry._logs import _internal
from otel_etw import EtlSession, EtwHandler
tried = []
load = _internal._load_provider
def counted(variable, kind):
    tried.append(os.environ[variable])
    return load(variable, kind)
_internal._load_provider = counted
logging.getLogger("opentelemetry.util._providers").disabled = True
with EtlSession(sys.argv[1]) as session:
    handler = EtwHandler(session=session)
    log = logging.Logger("shop")
    log.addHandler(handler)
    log.info("one")
    log.info("two")
    assert handler.stats.written == 2, handler.stats
print(tried)
""",
        tmp_path / "app.etl",
    )
    assert out.strip() == str([name])
    assert all(
        (item.service_name or "").startswith("unknown_service") for item in logs_in(tmp_path / "app.etl")
    )


def test_a_detector_that_logs_does_not_hold_the_first_record_up(tmp_path: Path) -> None:
    """The first record waits for the resource, whose detectors log on other threads to the same handler."""
    run_child(
        """
import logging, sys, time
from opentelemetry.sdk import resources
from otel_etw import EtlSession, EtwHandler
log = logging.Logger("shop")
detect = resources.OTELResourceDetector.detect
def chatty(detector):
    log.info("from the detector")
    return detect(detector)
resources.OTELResourceDetector.detect = chatty
with EtlSession(sys.argv[1]) as session:
    handler = EtwHandler(session=session)
    log.addHandler(handler)
    begin = time.monotonic()
    log.info("first")
    assert time.monotonic() - begin < 4
    log.info("second")
    assert handler.stats.written == 3, handler.stats
""",
        tmp_path / "app.etl",
    )
    found = {str(item.body): item.service_name for item in logs_in(tmp_path / "app.etl")}
    assert found["from the detector"] is None
    assert found["first"] == found["second"]
    assert (found["first"] or "").startswith("unknown_service")


FORKED = """
import logging, os, sys, threading
from otel_etw import EtlSession, EtwHandler
session = EtlSession(sys.argv[1])
handler = EtwHandler(session=session)
log = logging.Logger("shop")
log.addHandler(handler)
log.info("parent before")

inside, leave = threading.Event(), threading.Event()
class Slow:
    def __str__(self):
        inside.set()
        leave.wait(30)
        return "slow"
slow = threading.Thread(target=log.info, args=("%s", Slow()))
slow.start()
assert inside.wait(30)
pid = os.fork()  # while another thread is inside the handler
if pid == 0:
    try:
        for number in range(10):
            log.info("child %d", number)
        threads = [threading.Thread(target=log.info, args=("child thread",)) for _ in range(4)]
        for thread in threads: thread.start()
        for thread in threads: thread.join(10)
        handler.close()
        session.close()
        os._exit(0 if handler.stats.written == 15 else 3)
    except BaseException:
        import traceback
        traceback.print_exc()
        os._exit(1)
assert os.waitpid(pid, 0)[1] == 0
leave.set()
slow.join(30)
log.info("parent after")
handler.close()
session.close()
print(pid)
"""


@needs_fork
def test_a_forked_child_logs_while_the_parent_is_logging(tmp_path: Path) -> None:
    """Nothing is held over the fork, and the child is an instance of its own."""
    pid = int(run_child(FORKED, tmp_path / "app.etl"))
    parent = logs_in(tmp_path / "app.etl")
    child = logs_in(tmp_path / f"app.{pid}.etl")
    assert sorted(str(item.body) for item in parent) == ["parent after", "parent before", "slow"]
    assert [item.body for item in child[:10]] == [f"child {number}" for number in range(10)]
    assert [item.body for item in child[10:]] == ["child thread"] * 4
    parent_instances = {item.service_instance_id for item in parent}
    child_instances = {item.service_instance_id for item in child}
    assert len(parent_instances) == len(child_instances) == 1
    if parent_instances != {None}:  # older SDKs give none
        assert parent_instances.isdisjoint(child_instances)
