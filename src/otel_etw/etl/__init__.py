"""The trace file: a row of independent buffers, each a row of records.

``open_etl`` is in :mod:`.reader`, the file being written in :mod:`.writer`; what both know of the
format is in :mod:`.layout`.
"""
