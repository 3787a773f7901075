"""Every call into Windows, and nothing else: structures, prototypes, what error codes mean.

Importing any of this loads no library, on any system.  A library is opened with ``ctypes.WinDLL`` as that
stands when a function is first needed.
"""
