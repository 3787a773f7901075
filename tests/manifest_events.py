"""EventSource manifests and the events that carry them, made as .NET makes them."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from uuid import UUID

from etl_files import T0, event_record

PROVIDER = UUID("11111111-2222-3333-4444-555555555555")
PROVIDER_NAME = "My-Company-Source"

EVENTS = """
  <event value="1" version="0" symbol="Started" opcode="win:Start" task="Work" template="StartedArgs"/>
  <event value="1" version="2" symbol="Started" opcode="win:Start" task="Work" template="StartedMore"/>
  <event value="2" version="0" level="win:Error" message="$(string.event_Failed)" keywords="Disk Net"
   task="Failed"/>
  <event value="3" version="0" level="win:Verbose" symbol="OnlySymbol" opcode="Own"/>
  <event value="4" version="0" level="win:Verbose" task="Sent" opcode="win:Info" template="AllArgs"/>
  <event value="0x5" version="0" opcode="win:DC_Start" task="Rundown"/>
"""

TEMPLATES = """
  <template tid="StartedArgs"><data name="Name" inType="win:UnicodeString"/></template>
  <template tid="StartedMore">
   <data name="Name" inType="win:UnicodeString"/><data name="Count" inType="win:Int32" map="Kinds"/>
  </template>
  <template tid="AllArgs">
   <data name="i8" inType="win:Int8"/><data name="u8" inType="win:UInt8"/>
   <data name="i16" inType="win:Int16"/><data name="u16" inType="win:UInt16"/>
   <data name="i32" inType="win:Int32"/><data name="u32" inType="win:UInt32"/>
   <data name="i64" inType="win:Int64"/><data name="u64" inType="win:UInt64"/>
   <data name="f" inType="win:Float"/><data name="d" inType="win:Double"/>
   <data name="flag" inType="win:Boolean"/><data name="id" inType="win:GUID"/>
   <data name="at" inType="win:FILETIME"/><data name="ptr" inType="win:Pointer"/>
   <data name="dataSize" inType="win:UInt32"/><data name="data" inType="win:Binary" length="dataSize"/>
   <data name="n" inType="win:UInt16"/><data name="list" inType="win:Int16" count="n"/>
   <data name="text" inType="win:UnicodeString"/>
  </template>
"""


def manifest_xml(
    events: str = EVENTS, templates: str = TEMPLATES, name: str = PROVIDER_NAME, before: str = ""
) -> bytes:
    """A manifest's text, laid out as the builder of .NET does."""
    return f"""{before}<instrumentationManifest xmlns="http://schemas.microsoft.com/win/2004/08/events">
 <instrumentation xmlns:win="http://manifests.microsoft.com/win/2004/08/windows/events">
  <events xmlns="http://schemas.microsoft.com/win/2004/08/events">
<provider name="{name}" guid="{{{PROVIDER}}}" resourceFileName="x" messageFileName="x" symbol="x">
 <tasks><task name="Work" value="1"/><task name="Failed" value="65532"/></tasks>
 <maps><valueMap name="Kinds"><map value="0x1" message="$(string.map_Kinds.One)"/></valueMap></maps>
 <opcodes><opcode name="Own" message="$(string.opcode_Own)" value="11"/></opcodes>
 <events>{events}</events>
 <templates>{templates}</templates>
</provider></events></instrumentation>
<localization><resources culture="en-US"><stringTable>
   <string id="event_Failed" value="It &lt;failed&gt; at %1 &amp; so on"/>
</stringTable></resources></localization>
</instrumentationManifest>""".encode()


def pieces(xml: bytes, size: int = 0xFF00, version: int = 1) -> list[bytes]:
    """The payloads of the events that carry ``xml``."""
    parts = [xml[start : start + size] for start in range(0, len(xml), size)]
    return [
        struct.pack("<BBBBHH", 1, version, 0, 0x5B, len(parts), number) + part
        for number, part in enumerate(parts)
    ]


def manifest_records(raw: int = T0, xml: bytes | None = None, *, newer: bool = False) -> Iterator[bytes]:
    """Their records; the newer .NET leaves the channels' bits out of the keyword."""
    for payload in pieces(xml or manifest_xml(), 3000):
        keyword = 2**56 - 1 if newer else 2**64 - 1
        yield event_record(
            raw, payload, provider=PROVIDER, event_id=0xFFFE, version=1, level=0, opcode=0xFE, task=0xFFFE,
            keyword=keyword, items=[(6, bytes(24))],
        )  # fmt: skip


def utf16(text: str) -> bytes:
    return text.encode("utf-16-le") + b"\0\0"
