"""Exact limits: `window` counts, `bucket` queues, `ticket` is one request, `limiter` lets it go.

May import `model`, `errors`, `clock` and `tasks`; never sockets, exchanges, accounts or metrics.
"""
