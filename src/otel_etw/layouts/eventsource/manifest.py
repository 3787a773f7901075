"""The XML of an EventSource manifest: a provider's events by id and version.

Only what .NET's own builder of manifests writes is read; elements of any other name are passed over.  The
text comes from the traced process and is not trusted: no document type, hence no entities but XML's five, and
a bounded size, depth and number of fields.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import NoReturn
from xml.parsers import expat

from otel_etw.errors import DecodeError
from otel_etw.layouts.eventsource.template import EventTemplate, TemplateField, template_field

MAX_MANIFEST_BYTES = 1024 * 1024
"""The largest of .NET itself have some hundred KiB."""

_MAX_DEPTH = 32
_MAX_FIELDS_PER_EVENT = 512
_STRING_REFERENCE = re.compile(r"\$\(string\.(.*)\)", re.DOTALL)
_WINDOWS_PREFIX = "win:"
_OPCODE_NAMES = {"win:DC_Start": "DCStart", "win:DC_Stop": "DCStop"}
_NO_OPCODE = "win:Info"

Attributes = Mapping[str, str]


@dataclass(frozen=True)
class Manifest:
    """A provider's name, and its events by (id, version)."""

    provider_name: str
    events: Mapping[tuple[int, int], EventTemplate]


def parse_manifest(xml: bytes) -> Manifest:
    """Read a manifest. Raises :class:`.DecodeError` if it is too large, no XML, or has a document type."""
    if len(xml) > MAX_MANIFEST_BYTES:
        raise _fault(f"expected at most {MAX_MANIFEST_BYTES} bytes, found {len(xml)}")
    content = _Content()
    parser = expat.ParserCreate("UTF-8")  # whatever the XML says of itself
    parser.StartElementHandler = content.start
    parser.EndElementHandler = content.end
    parser.StartDoctypeDeclHandler = _refuse_document_type
    parser.EntityDeclHandler = _refuse_document_type
    try:
        parser.Parse(xml, True)
    except expat.ExpatError as error:
        raise _fault(f"expected XML: {error}", parser.ErrorByteIndex) from None
    return content.manifest()


def _refuse_document_type(*_: object) -> NoReturn:
    raise _fault("a document type, which no manifest has")


class _Content:
    """Collects the elements of one document: what events refer to may stand behind them."""

    def __init__(self) -> None:
        self._depth = 0
        self._provider_name: str | None = None
        self._events: list[Attributes] = []
        self._templates: dict[str, list[TemplateField]] = {}
        self._template: list[TemplateField] | None = None
        self._strings: dict[str, str] = {}

    def start(self, tag: str, attributes: Attributes) -> None:
        self._depth += 1
        if self._depth > _MAX_DEPTH:
            raise _fault(f"expected at most {_MAX_DEPTH} elements within one another")
        name = tag.rpartition(":")[2]
        if name == "event":
            self._events.append(attributes)
        elif name == "data" and self._template is not None:
            if len(self._template) >= _MAX_FIELDS_PER_EVENT:
                raise _fault(f"expected at most {_MAX_FIELDS_PER_EVENT} fields in an event")
            self._template.append(_field(attributes))
        elif name == "template":
            self._template = self._templates.setdefault(attributes.get("tid", ""), [])
        elif name == "string":
            self._strings.setdefault(attributes.get("id", ""), attributes.get("value", ""))
        elif name == "provider" and self._provider_name is None:
            self._provider_name = attributes.get("name")

    def end(self, tag: str) -> None:
        self._depth -= 1
        if tag.rpartition(":")[2] == "template":
            self._template = None

    def manifest(self) -> Manifest:
        if not self._provider_name:
            raise _fault("expected a provider with a name, found none")
        fields = {name: tuple(of_template) for name, of_template in self._templates.items()}
        events: dict[tuple[int, int], EventTemplate] = {}
        for attributes in self._events:
            event_id = _number(attributes.get("value"))
            version = _number(attributes.get("version", "0"))
            if event_id is not None and version is not None:
                template = self._event(attributes, event_id, version, fields)
                events.setdefault((event_id, version), template)
        return Manifest(self._provider_name, events)

    def _event(
        self,
        attributes: Attributes,
        event_id: int,
        version: int,
        fields: Mapping[str, tuple[TemplateField, ...]],
    ) -> EventTemplate:
        task = attributes.get("task")
        opcode = _opcode_name(attributes.get("opcode"))
        level = attributes.get("level")
        return EventTemplate(
            provider_name=self._provider_name or "",
            event_id=event_id,
            version=version,
            name=_event_name(task, opcode) or attributes.get("symbol"),
            task=task,
            opcode=opcode,
            level=level.removeprefix(_WINDOWS_PREFIX) if level else None,
            keywords=tuple(attributes.get("keywords", "").split()),
            message=self._text(attributes.get("message")),
            fields=fields.get(attributes.get("template", ""), ()),
        )

    def _text(self, message: str | None) -> str | None:
        """The string that ``$(string.name)`` refers to; other text as it is."""
        reference = _STRING_REFERENCE.fullmatch(message) if message else None
        return self._strings.get(reference[1]) if reference else message


def _field(attributes: Attributes) -> TemplateField:
    return template_field(
        attributes.get("name", ""),
        attributes.get("inType", ""),
        attributes.get("outType", ""),
        attributes.get("length"),
        attributes.get("count"),
    )


def _event_name(task: str | None, opcode: str | None) -> str | None:
    return f"{task}/{opcode}" if task and opcode else task


def _opcode_name(text: str | None) -> str | None:
    if not text or text == _NO_OPCODE:
        return None
    return _OPCODE_NAMES.get(text, text.removeprefix(_WINDOWS_PREFIX))


def _number(text: str | None) -> int | None:
    """A u16, decimal or hexadecimal with ``0x``."""
    try:
        value = int(text[:8], 16 if text.startswith("0x") else 10) if text else -1
    except ValueError:
        return None
    return value if 0 <= value <= 0xFFFF else None


def _fault(problem: str, offset: int | None = None) -> DecodeError:
    return DecodeError(problem, offset=offset, where="EventSource manifest")
