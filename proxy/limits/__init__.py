"""Exact limits: `window` counts, `bucket` queues, `ticket` is one request, `limiter` lets it go.

`buckets` has them all and keeps them over restarts; `strangers` says what is left to callers
without a key, `listing` how things stand.

May import `model`, `errors`, `clock` and `tasks`; never sockets, exchanges, accounts or metrics.
"""
