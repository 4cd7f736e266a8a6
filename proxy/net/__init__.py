"""The sockets of the data path: bots on one side, exchanges on the other. RFC 9110, RFC 9112.

`server` accepts bots and turns bytes into requests; `pool` keeps warm connections to one exchange
host. Nothing here knows an exchange, an account or a limit, and nothing here logs.
"""
