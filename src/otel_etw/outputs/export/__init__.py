"""Tables written to files: Parquet, CSV, JSON lines, and OTLP as JSON lines or Protobuf messages.

Everything is made from record batches as they come, in bounded memory, and nothing stands under its final
name before all of it is written.
"""
