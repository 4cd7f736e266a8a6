"""What the exchanges want: how requests are signed, tagged, charged and answered. Sans-io.

Each sub-folder is one kind of exchange and ends in the record of `spec.py`; `table.py` reads the
endpoint tables, `registry.py` finds the folders. Nothing here opens a socket or reads a clock.
"""
