"""What other producers of OpenTelemetry data write in encodings of their own; decoding only.

Told apart by :mod:`otel_etw.tables.items`, by the rules of spec/otel-on-etw.md 4.3:

=====================  ====================================================================================
:mod:`.cpp`            OpenTelemetry C++: logs, spans and span events as flat fields beside ``_name``
:mod:`.geneva`         .NET Geneva: logs and spans as flat fields with ``env_`` names
:mod:`.messagepack`    the bytes that carry either of them in events without a description
:mod:`.tlv`            .NET Geneva: data points as a sequence of typed items
=====================  ====================================================================================

Geneva's self-describing events are Common Schema and its protobuf metrics are OTLP: other rooms' business.
"""
