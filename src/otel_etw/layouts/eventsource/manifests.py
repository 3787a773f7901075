"""All EventSource manifests met in a trace: put together from their pieces, kept by provider.

A manifest comes as events of id 0xFFFE, one for each piece (spec/etl-format.md 5.6)::

    u8 format (1) | u8 major, u8 minor version | u8 0x5B | u16 pieces | u16 this piece, from 0 | UTF-8 XML

Each process writes those of its providers, whenever a session enables them: the same manifest is there many
times.  Pieces may be missing, repeated and out of order.  What they claim costs nothing: memory is taken only
for bytes that are there, up to a bound.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from struct import Struct
from uuid import UUID

from otel_etw.errors import DecodeError
from otel_etw.layouts.eventsource.manifest import MAX_MANIFEST_BYTES, Manifest, parse_manifest
from otel_etw.layouts.eventsource.template import EventTemplate, template_field

MANIFEST_EVENT_ID = 0xFFFE
MANIFEST_OPCODE = 0xFE

MAX_TOTAL_BYTES = 16 * 1024 * 1024
"""Of manifests read, and of pieces that wait for others: a hostile file must not fill memory."""

_MAX_PROBLEMS = 100
# What anything kept (a piece, an event, a field) costs beside its bytes, so that many small ones are bounded.
_COST_BYTES = 512
_FORMAT = 1
_MAGIC = 0x5B
_PIECE = Struct("<BBBBHH")

_MANIFEST_FIELDS = tuple(
    template_field(name, type_name)
    for name, type_name in (
        ("Format", "win:UInt8"),
        ("MajorVersion", "win:UInt8"),
        ("MinorVersion", "win:UInt8"),
        ("Magic", "win:UInt8"),
        ("TotalChunks", "win:UInt16"),
        ("ChunkNumber", "win:UInt16"),
    )
)


def is_manifest_event(event_id: int, opcode: int) -> bool:
    """Whether an event that does not describe itself is a piece of a manifest."""
    return event_id == MANIFEST_EVENT_ID and opcode == MANIFEST_OPCODE


@dataclass
class _Pieces:
    """Those of one manifest that have come so far."""

    kind: tuple[int, int, int]
    """Major and minor version, number of pieces."""
    xml: dict[int, bytes] = field(default_factory=dict)
    cost_bytes: int = 0


class Manifests:
    """What is known of the EventSource providers of one trace."""

    def __init__(self) -> None:
        self.problems: list[str] = []
        """What could not be used, in words; of many, the first."""
        self._events: dict[bytes, dict[tuple[int, int], EventTemplate]] = {}
        self._names: dict[bytes, str] = {}
        self._waiting: dict[tuple[bytes, object], _Pieces] = {}
        self._waiting_bytes = 0
        self._read_bytes = 0
        self._seen: set[int] = set()

    def __bool__(self) -> bool:
        """Whether any manifest is known."""
        return bool(self._names)

    def add(self, provider_id: bytes | UUID, payload: bytes, source: object = None) -> bool:
        """Take in the payload of a manifest event; ``True`` if events are known by it that were not before.

        ``source`` keeps apart pieces that come from different writers at the same time: process and
        thread.  What was there before is recognised at the cost of a hash.  Never raises.
        """
        provider = _key(provider_id)
        if len(payload) < _PIECE.size:
            return self._refuse(provider, f"expected {_PIECE.size} bytes at least, found {len(payload)}")
        form, major, minor, magic, total, number = _PIECE.unpack_from(payload)
        if form != _FORMAT or magic != _MAGIC or number >= total:
            why = f"piece {number} of {total}, format {form}, magic {magic:#x}"
            return self._refuse(provider, f"expected a piece of a manifest, found {why}")
        xml = bytes(payload[_PIECE.size :])
        if total == 1:
            return self._read(provider, xml)
        return self._collect((provider, source), (major, minor, total), number, xml)

    def find(self, provider_id: bytes | UUID, event_id: int, version: int) -> EventTemplate | None:
        """The description of an event; ``None`` if no manifest has it in that very version."""
        provider = _key(provider_id)
        events = self._events.get(provider)
        if events is None:
            return None
        if event_id == MANIFEST_EVENT_ID:
            name = self._names[provider]
            return EventTemplate(name, event_id, version, "ManifestData", fields=_MANIFEST_FIELDS)
        return events.get((event_id, version))

    @property
    def provider_ids(self) -> tuple[bytes, ...]:
        """The GUIDs, as records have them, of the providers whose manifests are known."""
        return tuple(self._names)

    def provider_name(self, provider_id: bytes | UUID) -> str | None:
        """The name of a provider whose manifest is known."""
        return self._names.get(_key(provider_id))

    def _collect(
        self, place: tuple[bytes, object], kind: tuple[int, int, int], number: int, xml: bytes
    ) -> bool:
        pieces = self._waiting.get(place)
        if pieces is None or pieces.kind != kind or pieces.xml.get(number, xml) != xml:
            self._forget(place)  # the beginning of another one
            pieces = _Pieces(kind)
        if number in pieces.xml:
            return False
        cost_bytes = len(xml) + _COST_BYTES
        if self._waiting_bytes + cost_bytes > MAX_TOTAL_BYTES:
            return self._refuse(place[0], f"over {MAX_TOTAL_BYTES} bytes of incomplete manifests")
        self._waiting[place] = pieces
        self._waiting_bytes += cost_bytes
        pieces.cost_bytes += cost_bytes
        pieces.xml[number] = xml
        if pieces.cost_bytes > MAX_MANIFEST_BYTES:
            self._forget(place)
            return self._refuse(place[0], f"expected at most {MAX_MANIFEST_BYTES} bytes in all its pieces")
        if len(pieces.xml) < kind[-1]:
            return False
        self._forget(place)
        return self._read(place[0], b"".join(pieces.xml[each] for each in sorted(pieces.xml)))

    def _forget(self, place: tuple[bytes, object]) -> None:
        pieces = self._waiting.pop(place, None)
        if pieces is not None:
            self._waiting_bytes -= pieces.cost_bytes

    def _read(self, provider: bytes, xml: bytes) -> bool:
        seen = hash((provider, xml))
        if seen in self._seen:
            return False
        if self._read_bytes + len(xml) + _COST_BYTES > MAX_TOTAL_BYTES:
            return self._refuse(provider, f"over {MAX_TOTAL_BYTES} bytes of manifests")
        self._seen.add(seen)
        self._read_bytes += len(xml) + _COST_BYTES
        try:
            manifest = parse_manifest(xml)
        except DecodeError as error:
            return self._refuse(provider, str(error))
        return self._merge(provider, manifest)

    def _merge(self, provider: bytes, manifest: Manifest) -> bool:
        """What was known first stays: events already decoded by it must not change their meaning."""
        self._names.setdefault(provider, manifest.provider_name)
        events = self._events.setdefault(provider, {})
        before = len(events)
        for key, template in manifest.events.items():
            if events.setdefault(key, template) is template:
                self._read_bytes += _COST_BYTES * (1 + len(template.fields))
        return len(events) > before or not before

    def _refuse(self, provider: bytes, why: str) -> bool:
        if len(self.problems) < _MAX_PROBLEMS:
            self.problems.append(f"manifest of provider {UUID(bytes_le=provider)}: {why}")
        return False


def _key(provider_id: bytes | UUID) -> bytes:
    """A provider's GUID as the 16 bytes of its record."""
    return provider_id.bytes_le if isinstance(provider_id, UUID) else bytes(provider_id)
