"""Who may pass and with what: accounts, their sealed credentials, and what outlives a process.

    directory  what the hot path sees: API key -> account, in memory
    watch      keeps the directory up to date with the database
    enrolment  what the commands do: add, issue, rotate
    store      accounts in SQL          history   spent windows and hand-over rows in SQL
    vault      seal and open            instance  one process per database
    database   the engine, its files    schema, migrations   the tables

Nothing here logs, and no error, repr or row holds a secret in plain.
"""
