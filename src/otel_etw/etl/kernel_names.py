"""Names of the kernel's records: providers by group, events by hook id, and well-known classic events.

Kernel records carry no names, only a group and a type (hook id = group << 8 | type); the GUIDs are
those under which the consumer API presents the groups.  The tables hold what is public; an unlisted
number is shown as a number.
"""

from __future__ import annotations

from uuid import UUID

KERNEL_GROUPS: dict[int, tuple[str, UUID]] = {
    group: (name, UUID(guid))
    for group, name, guid in (
        (0x00, "EventTrace", "68fdd900-4a3e-11d1-84f4-0000f80464e3"),
        (0x01, "DiskIo", "3d6fa8d4-fe05-11d0-9dda-00c04fd7ba7c"),
        (0x02, "PageFault", "3d6fa8d3-fe05-11d0-9dda-00c04fd7ba7c"),
        (0x03, "Process", "3d6fa8d0-fe05-11d0-9dda-00c04fd7ba7c"),
        (0x04, "FileIo", "90cbdc39-4a3e-11d1-84f4-0000f80464e3"),
        (0x05, "Thread", "3d6fa8d1-fe05-11d0-9dda-00c04fd7ba7c"),
        (0x06, "TcpIp", "9a280ac0-c8e0-11d1-84e2-00c04fb998a2"),
        (0x07, "Job", "3282fc76-feed-498e-8aa7-e70f459d430e"),
        (0x08, "UdpIp", "bf3a50c5-a9c9-4988-a005-2df0b7c80f80"),
        (0x09, "Registry", "ae53722e-c863-11d2-8659-00c04fa321a1"),
        (0x0A, "DbgPrint", "13976d09-a327-438c-950b-7f03192815c7"),
        (0x0B, "SystemConfig", "01853a65-418f-4f36-aefc-dc0f1d2fd235"),
        (0x0E, "Pool", "0268a8b6-74fd-4302-9dd0-6e8f1795c0cf"),
        (0x0F, "PerfInfo", "ce1dbfb4-137e-4da6-87b0-3f59aa102cbc"),
        (0x10, "Heap", "222962ab-6180-4b88-a825-346b75f2a24a"),
        (0x11, "Object", "89497f50-effe-4440-8cf2-ce6b1cdcaca7"),
        (0x12, "Power", "e43445e0-0903-48c3-b878-ff0fccebdd04"),
        (0x14, "Image", "2cb15d1d-5fc1-11d2-abe1-00a0c911f518"),
        (0x18, "StackWalk", "def2fe46-7bd6-4b80-bd94-f57fe20d0ce3"),
        (0x1A, "ALPC", "45d8cccd-539f-4b72-a8b7-5c683142609a"),
        (0x1B, "SplitIo", "d837ca92-12b9-44a5-ad6a-3a65b3578aa8"),
        (0x1C, "ThreadPool", "c861d0e2-a2c1-4d36-9f9c-970bab943a12"),
    )
}
"""Group -> (name, GUID) of system and perfinfo records."""

SYS_CONFIG_ID = UUID("9b79ee91-b5fd-41c0-a243-4248e266e9d0")
IMAGE_ID_ID = UUID("b3e675d7-2554-4f18-830b-2762732560de")
TRACE_METADATA_ID = UUID("bbccf6c1-6cd1-48c4-80ff-839482e37671")

CLASSIC_PROVIDERS: dict[UUID, str] = {
    **{guid: name for name, guid in KERNEL_GROUPS.values()},
    SYS_CONFIG_ID: "SysConfig",
    IMAGE_ID_ID: "ImageID",
    TRACE_METADATA_ID: "TraceMetadata",
    UUID("ed54dff8-c409-4cf6-bf83-05e1e61a09c4"): "WinSAT",
    UUID("6a399ae0-4bc6-4de9-870b-3657f8947e7e"): "RTLostEvent",
}
"""Event class GUID -> name, of classic records found in merged and real-time files."""

HOOK_NAMES: dict[int, str] = {
    0x0000: "Header",
    0x0005: "HeaderExtension",
    0x0008: "RundownComplete",
    0x0020: "GroupMasksEnd",
    0x0030: "RundownBegin",
    0x0031: "RundownEnd",
    0x0040: "DbgIdRSDS",
    0x0041: "DbgIdNB10",
    0x0042: "BuildLab",
    0x0043: "BinaryPath",
    0x0050: "header-0x50",
    0x030A: "ImageLoad",
    0x0F2E: "SampledProfile",
}
"""Hook id -> name of the event."""

CLASSIC_NAMES: dict[tuple[UUID, int], str] = {
    (SYS_CONFIG_ID, 0x20): "BuildInfo",
    (SYS_CONFIG_ID, 0x21): "SystemPaths",
    (SYS_CONFIG_ID, 0x22): "Volume",
    (SYS_CONFIG_ID, 0x23): "VolumeMapping",
    (IMAGE_ID_ID, 0x00): "ImageId",
    (IMAGE_ID_ID, 0x24): "DbgIdRSDS",
    (IMAGE_ID_ID, 0x25): "DbgIdILRSDS",
    (IMAGE_ID_ID, 0x26): "DbgIdPPDB",
    (IMAGE_ID_ID, 0x28): "Deterministic",
    (IMAGE_ID_ID, 0x40): "FileVersion",
    (TRACE_METADATA_ID, 0x20): "EventInfo",
    (TRACE_METADATA_ID, 0x21): "EventMapInfo",
}
"""(event class GUID, opcode) -> name of the event."""
