"""Who may pass and with what: accounts, their sealed credentials, and what outlives a process.

    directory  what the hot path sees: API key -> account, in memory
    watch      keeps the directory up to date with the database
    standing   what is known of an account while it is served     standings  those in force
    activity   what its bots did lately     chronicle  writes both down behind the requests
    enrolment  what the commands do     terms, settling   what an operator wants, what it comes to
    importing  many accounts at once    resealing   all secrets under another master key
    store      accounts in SQL          rows, records   its rows; what the chronicle writes
    opening    which credentials open   history   spent windows and hand-over rows in SQL
    vault      seal and open            instance  one process per database
    database   the engine, its files    schema, migrations   the tables

Nothing here logs, and no error, repr or row holds a secret in plain.
"""
