"""Several small queries in one statement, and one SQL parameter for a list of any length."""

from __future__ import annotations

import json
import re
from collections.abc import Collection, Sequence
from typing import Any

from django.core.exceptions import EmptyResultSet
from django.db import connection
from django.db.models import BooleanField, F, Lookup, QuerySet

Asked = QuerySet[Any, tuple[str]]
"""A sliced query of run IDs."""


def run_batch(queries: Sequence[Asked]) -> list[list[str]]:
    """The run IDs that each query finds, in its order. At most one statement."""
    statements: list[str] = []
    parameters: list[Any] = []
    for number, query in enumerate(queries):
        try:
            sql, values = query.query.sql_with_params()
        except EmptyResultSet:  # Django knows that the query finds nothing
            continue
        statements.append(f"SELECT {number} AS question, row_number() OVER () AS place, found.* FROM ({sql}) AS found")  # noqa: S608
        parameters += values
    found: list[list[str]] = [[] for _ in queries]
    if statements:
        with connection.cursor() as cursor:
            cursor.execute(" UNION ALL ".join(statements) + " ORDER BY 1, 2", parameters)
            for number, _, run_id in cursor.fetchall():
                found[number].append(run_id)
    return found


def count_batch(queries: Sequence[Asked]) -> list[int]:
    """The number of rows that each query finds. At most one statement."""
    if not queries:
        return []
    asked = [query.query.sql_with_params() for query in queries]
    sql = ", ".join(f"(SELECT count(*) FROM ({sql}) AS found)" for sql, _ in asked)  # noqa: S608 - our own SQL
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT {sql}", [value for _, values in asked for value in values])
        return list(cursor.fetchone())


class Like(Lookup):
    """SQL's LIKE, with ``%`` and ``_`` but no escapes: as MLflow compares, case-sensitive unless ``any_case``.

    On PostgreSQL the capital letters are compared first, because the index of words has them
    (``store/migrations/0004_searched.py``). There ``_`` stands for any text: some letters have two capitals.
    """

    lookup_name = "sql_like"
    prepare_rhs = False
    output_field = BooleanField()

    def __init__(self, column: str, pattern: str, any_case: bool) -> None:
        super().__init__(F(column), pattern)
        self.any_case = any_case

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        if connection.vendor == "postgresql":
            like, capitals = "ILIKE" if self.any_case else "LIKE", self.rhs.replace("_", "%")
            sql = f"(UPPER({column}::text) LIKE UPPER(%s) ESCAPE '' AND {column} {like} %s ESCAPE '')"
            return sql, (*parameters, capitals, *parameters, self.rhs)
        if self.any_case:
            return f"{column} LIKE %s", (*parameters, self.rhs)
        glob = re.sub(r"[*?\[]", r"[\g<0>]", self.rhs).replace("%", "*").replace("_", "?")
        return f"{column} GLOB %s", (*parameters, glob)


class InList(Lookup):
    """Whether the column is one of these texts: like ``__in``, but with one SQL parameter."""

    lookup_name = "among"
    prepare_rhs = False
    output_field = BooleanField()

    def __init__(self, column: str, texts: Collection[str]) -> None:
        super().__init__(F(column), sorted(texts))

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, tuple[Any, ...]]:
        column, parameters = self.process_lhs(compiler, connection)
        if connection.vendor == "postgresql":
            return f"{column} = ANY(%s)", (*parameters, self.rhs)
        among = "IN (SELECT value FROM json_each(%s))"
        return f"{column} {among}", (*parameters, json.dumps(self.rhs))
