"""An installation of the version before the library was called ``warmboard``, upgraded to this version.

``fixture/`` is what that version left; ``write_fixture.py`` wrote it, in a checkout of that version:

- ``schema-sqlite.sql``, ``schema-postgresql.sql``, ``rows.json``: its database after all of its migrations
- ``redis.json``: every key of its Redis: Celery's messages, waiting or taken by a worker that was killed; the hot copy
- ``answers.json``: how its webapp answered for every address
- ``known.json``: the runs' IDs by what they are for; tokens, sessions and a password made for this fixture alone
- ``interface.json``: its settings, addresses, commands, API shapes and keys; ``contract.json``: its golden messages
- ``spool-*.ndjson``, ``model.keras``: what its trainings left on a machine
"""
