"""The generated encoders against the plain one: the same bytes for every record."""

from __future__ import annotations

import os
import sys
from enum import Enum
from typing import Any, Literal

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.resources import Resource

from memory_provider import MemorySession
from otel_etw import shape_cache
from otel_etw.emitter import Outcome
from otel_etw.layouts.common_schema import LogFields, ResourceFacts, encode_log
from otel_etw.layouts.common_schema.activity import activity_id
from otel_etw.layouts.common_schema.log_shapes import LogShape, log_encoder
from otel_etw.layouts.common_schema.shape_code import Emit
from otel_etw.log_writer import LogWriter
from otel_etw.options import writer_options
from otel_etw.resource_facts import FactsCache
from session_events import run_child

TIMES = [0, 1, 999, 1000, 10**9, 1773232496_350123401, 1773232496_350123000, 1773232496_350000000]
TEXTS = st.text(max_size=20) | st.sampled_from(["", "plain", "é", "\ud800", "a\0b", "x" * 3000, "x" * 70000])
SCALARS = st.one_of(
    TEXTS,
    st.integers(),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(),
    st.booleans(),
    st.binary(max_size=20),
    st.none(),
)
VALUES = SCALARS | st.lists(SCALARS, max_size=3) | st.just(object)
KEYS = st.sampled_from(
    ["a", "user", "event_id", "é", "\ud800", "a\0b", "", "k" * 300, "\\", "'", '"', "{0}", "\n"]
)
FACTS = [
    ResourceFacts(),
    ResourceFacts("svc", None),
    ResourceFacts("svc é", "instance-1", (("a", 1), ("deploy.env", "prod"), ("list", ""))),
]


@st.composite
def records(draw: st.DrawFn) -> LogFields:
    return LogFields(
        time_unix_nano=draw(st.sampled_from(TIMES) | st.integers(-(10**20), 10**20)),
        severity_number=draw(st.none() | st.integers(-1, 30) | st.just(2**70)),
        severity_text=draw(st.none() | TEXTS),
        body=draw(VALUES),
        event_name=draw(st.none() | TEXTS),
        trace_id=draw(st.sampled_from([0, 1, 2**128 - 1, 2**200])),
        span_id=draw(st.sampled_from([0, 7, 2**64 - 1, 2**99])),
        attributes=draw(st.dictionaries(KEYS, VALUES, max_size=6)),
    )


def write(writer: LogWriter, record: LogFields, facts: ResourceFacts, event_name: str = "Log") -> Outcome:
    return writer.write_fields(
        record.time_unix_nano,
        record.severity_number,
        record.severity_text,
        record.body,
        record.event_name,
        record.trace_id or 0,
        record.span_id or 0,
        dict(record.attributes),
        facts,
        event_name,
    )


@given(
    recorded=st.lists(records(), min_size=1, max_size=3),
    facts=st.sampled_from(FACTS),
    event_name=st.sampled_from(["Log", "MyLog é"]),
    mark_utf8=st.booleans(),
    kind=st.sampled_from(["none", "trace", "span"]),
)
def test_every_record_has_the_same_bytes_both_ways(
    recorded: list[LogFields],
    facts: ResourceFacts,
    event_name: str,
    mark_utf8: bool,
    kind: Literal["none", "trace", "span"],
) -> None:
    """Records written again and again, mixed with others, until every shape has its encoder."""
    session = MemorySession()
    options = writer_options(mark_utf8=mark_utf8, activity_id=kind, keyword=6)
    writer = LogWriter(options, session)
    for _ in range(4):
        for record in recorded:
            assert write(writer, record, facts, event_name) is Outcome.WRITTEN
    for index, event in enumerate(session.events):
        record = recorded[index % len(recorded)]
        plain = encode_log(
            record,
            facts,
            event_name=event_name,
            keyword=6,
            mark_utf8=mark_utf8,
            max_event_bytes=session.max_event_bytes,
        )
        assert event.descriptor == plain.descriptor
        assert event.metadata == plain.metadata
        assert event.payload == plain.payload
        assert event.activity_id == activity_id(options.activity_id, record.trace_id, record.span_id)


def usual(number: int = 0, **changes: Any) -> LogFields:
    fields: dict[str, Any] = {
        "time_unix_nano": TIMES[5] + number,
        "severity_number": 9,
        "severity_text": "INFO",
        "body": "hello",
        "event_name": "greeting",
        "attributes": {"a": "one", "b": 2, "c": 3.0, "d": True, "e": b"\0", "f": None},
    }
    return LogFields(**{**fields, **changes})


def test_a_usual_record_takes_the_quick_way() -> None:
    """From its third sight on, a shape is written through a prepared write."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(10):
        write(writer, usual(number), FACTS[1])
    assert [event.prepared for event in session.events] == [False] * 2 + [True] * 8


@pytest.mark.parametrize(
    "attributes",
    [{"a": ["list"]}, {"event_id": 7}, {"a": object}, {f"k{number}": 1 for number in range(128)}],
    ids=["list", "event_id", "foreign", "many"],
)
def test_an_unusual_shape_has_no_encoder(attributes: dict[str, Any]) -> None:
    """Lists, integer event ids, foreign objects and too many members are left to the plain encoder."""
    kinds = tuple(map(type, attributes.values()))
    shape = LogShape("Log", 9, None, None, False, tuple(attributes), str, kinds)
    assert log_encoder(shape, ResourceFacts()) is None


def test_values_of_other_types_under_the_same_keys() -> None:
    """Types that change from record to record are followed, and 1, 1.0 and True stay what they are."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    values: list[object] = [1, 1.0, True, "1", b"1", None, [1], 2**64]
    for _ in range(5):
        for value in values:
            write(writer, usual(attributes={"v": value}, body=value), FACTS[0])
    expected = [encode_log(usual(attributes={"v": value}, body=value)) for value in values]
    assert [event.payload for event in session.events] == [event.payload for event in expected] * 5
    assert [event.metadata for event in session.events] == [event.metadata for event in expected] * 5


class Word(str, Enum):
    """Equal to its text, which ``str()`` of it is not in every version of Python."""

    GREETING = "greeting"

    def __str__(self) -> str:
        return "another text"


def test_text_of_a_type_of_its_own_is_its_characters() -> None:
    """An enumeration as key, severity text, event name or value is its text, whatever came before."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    word = Word.GREETING
    own = usual(attributes={word: word}, severity_text=word, event_name=word, body=word)
    text = str.__str__(word)
    same = usual(attributes={text: text}, severity_text=text, event_name=text, body=text)
    for record in [own] * 5 + [same] * 5 + [own] * 5:
        write(writer, record, FACTS[0])
    expected = encode_log(same)
    assert {(event.metadata, event.payload) for event in session.events} == {
        (expected.metadata, expected.payload)
    }


def test_resources_that_compare_equal_are_told_apart() -> None:
    """1, 1.0 and True as an attribute of the resource are what they are in each event."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    several = [ResourceFacts("shop", None, (("n", value),)) for value in (1, 1.0, True)]
    for _ in range(5):
        for facts in several:
            write(writer, usual(), facts)
    expected = [encode_log(usual(), facts) for facts in several]
    assert [event.payload for event in session.events] == [event.payload for event in expected] * 5


@pytest.mark.parametrize("value", ["text", "é", 1])
def test_times_of_one_second(value: object) -> None:
    """Zeros at the end of the fraction go, also where the text of the second is known already."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    second = 1773232496_000000000
    moments = [second + fraction for fraction in (350123401, 350123000, 350000000, 0, 1, 999999999)]
    for _ in range(4):
        for moment in moments:
            write(writer, usual(time_unix_nano=moment, attributes={"v": value}), FACTS[0])
    expected = [encode_log(usual(time_unix_nano=moment, attributes={"v": value})) for moment in moments]
    assert [event.payload for event in session.events] == [event.payload for event in expected] * 4


def test_texts_of_any_size_are_not_kept() -> None:
    """A record with a key of a megabyte is written, and nothing is remembered of it."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(5):
        write(writer, usual(number, attributes={"k" * 1_000_000: 1}), FACTS[0])
    assert [event.prepared for event in session.events] == [False] * 5
    assert not writer.table.of_shape


def test_what_the_session_does_not_want_is_not_encoded() -> None:
    """A session at another level: the record is counted as skipped, its values are not looked at."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(5):
        write(writer, usual(number), FACTS[0])
    session.level = 2
    assert write(writer, usual(), FACTS[0]) is Outcome.SKIPPED
    assert writer.emitter.stats.skipped == 1
    assert len(session.events) == 5


def test_after_shutdown_records_are_dropped_and_counted() -> None:
    """Encoders do not outlive their provider."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(5):
        write(writer, usual(number), FACTS[0])
    assert writer.table.of_shape
    writer.shutdown()
    assert not writer.table.of_shape
    assert not writer.table.latest
    assert write(writer, usual(), FACTS[0]) is Outcome.DROPPED
    assert writer.emitter.stats.dropped == {"shut down": 1}


def test_a_refused_write_is_counted_by_its_status_and_not_tried_again() -> None:
    """Windows' 234 (larger than some session's buffer) drops the record, after one call."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(5):
        write(writer, usual(number), FACTS[0])
    session.status = 234
    assert write(writer, usual(), FACTS[0]) is Outcome.DROPPED
    assert writer.emitter.stats.dropped == {"status 234": 1}
    assert session.writes == 6


def test_one_encoder_serves_equal_resources() -> None:
    """Facts that are equal by content are one object, and 1 and True are not equal."""
    cache = FactsCache({"k"})
    first = cache.facts(Resource({"service.name": "a", "k": 1}))
    other = cache.facts(Resource({"service.name": "a", "k": True}))
    again = cache.facts(Resource({"service.name": "a", "k": 1}))
    assert again is first
    assert other is not first
    assert other.chosen == (("k", True),)
    assert type(other.chosen[0][1]) is bool


def test_the_facts_of_the_last_resources_are_kept() -> None:
    """Eight of them; an older one is made anew, and equal."""
    cache = FactsCache()
    resources = [Resource({"service.name": f"shop {number}"}) for number in range(9)]
    facts = [cache.facts(resource) for resource in resources]
    assert cache.facts(Resource({"service.name": "shop 1"})) is facts[1]
    again = cache.facts(Resource({"service.name": "shop 0"}))
    assert again == facts[0]
    assert again is not facts[0]


class Shapes:
    """A cache for records that differ in one attribute's key; ``made`` counts the encoders."""

    def __init__(self) -> None:
        self.made = 0
        self.cache = shape_cache.ShapeCache(LogShape, self._make)
        self.table = self.cache.table(ResourceFacts())

    def _make(self, shape: LogShape, facts: ResourceFacts) -> Emit:
        self.made += 1
        return lambda *_: 0

    def sight(self, number: int) -> Emit | None:
        values = {f"key{number}": "value"}
        return self.cache.encoder(self.table, ("Log", 9, None, None, False, tuple(values)), None, values)


def test_ever_new_shapes_cost_ever_fewer_encoders() -> None:
    """Whoever logs thousands of shapes in turn does not pay for an encoder with every few records."""
    shapes = Shapes()
    for _ in range(50):
        for number in range(2000):
            shapes.sight(number)
    assert shape_cache.MAX_SHAPES < shapes.made < 10 * shape_cache.MAX_SHAPES
    assert len(shapes.table.of_shape) <= shape_cache.MAX_SHAPES
    assert len(shapes.table.latest) <= shape_cache.MAX_SHAPES


def test_sights_are_forgotten() -> None:
    """A shape that came twice, long ago, has to come as often again as one that never came."""
    shapes = Shapes()
    for number in (0, 0, *range(1, 10_000), 0):
        assert shapes.sight(number) is None
    assert shapes.made == 0


def test_resources_are_forgotten() -> None:
    """Encoders are kept for the last few resources only."""
    cache = Shapes().cache
    several = [ResourceFacts(f"shop {number}") for number in range(shape_cache.MAX_RESOURCES + 1)]
    tables = [cache.table(facts) for facts in several]
    assert [cache.table(facts) for facts in several[1:]] == tables[1:]
    assert cache.table(several[0]) is not tables[0]


EVENTS = 1_000_000 if os.environ.get("OTEL_ETW_LONG_TESTS") else 50_000

MANY_SHAPES = """
import os, sys
from memory_provider import MemorySession
from otel_etw.layouts.common_schema import ResourceFacts
from otel_etw.log_writer import LogWriter
from otel_etw.options import writer_options

def resident():
    with open("/proc/self/statm") as sizes:
        return int(sizes.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")

events, facts = int(sys.argv[1]), ResourceFacts("shop")
writer = LogWriter(writer_options(), MemorySession(keep=False))

def write(number):
    attributes = {f"key{number // 5 % 10_000}": "value"}
    writer.write_fields(number, 9, "INFO", "hello", "e", 0, 0, attributes, facts)

for number in range(1000):
    write(0)
before = most = resident()
for number in range(events):
    write(number)
    if number % 1000 == 0:
        most = max(most, resident())
assert writer.emitter.stats.written == events + 1000
print(most - before)
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="there is no /proc/self/statm here")
def test_a_million_events_of_ten_thousand_shapes_take_bounded_memory() -> None:
    """However many shapes come, each often enough, the encoders kept stay within what was stated."""
    grown_bytes = int(run_child(MANY_SHAPES, EVENTS, timeout=300))
    assert grown_bytes < shape_cache.MAX_SHAPES * 32_768


def test_an_exception_right_after_the_write_does_not_write_again() -> None:
    """As a signal handler of the application's may raise it: what is written stays written once."""
    session = MemorySession()
    writer = LogWriter(writer_options(), session)
    for number in range(5):
        write(writer, usual(number), FACTS[0])

    class Interrupting:
        def __next__(self) -> int:
            raise RuntimeError

    writer._written = Interrupting()  # type: ignore[assignment]
    assert write(writer, usual(), FACTS[0]) is Outcome.WRITTEN
    assert session.writes == 6
