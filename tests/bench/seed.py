"""Fill a hub's Postgres with the rows of a large hub, fast.

    python tests/bench/seed.py postgresql+psycopg://... [--repos 100000] [--files 10000000] ...

The database must be migrated. The blobs it holds already become the content that can be pulled. Constraints and
indexes of the tables are taken off, rows arrive by COPY, then everything is put back and so checked by the database.
Prints rows, seconds and bytes on disk.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import fields, replace
from datetime import datetime

import psycopg
from psycopg import sql
from seeded_repos import COLUMNS, Row, SeedPlan, rows

from freebits_service.trees.pages import Leaf

BLOCK_ROWS = 2000


def seed(url: str, plan: SeedPlan) -> Counter[str]:
    """Add the plan's rows; how many of each table. `url` is SQLAlchemy's."""
    address = url.replace("+psycopg", "", 1)
    with psycopg.connect(address, autocommit=True) as connection:
        connection.execute("SET maintenance_work_mem = '512MB'")
        pool = plan.pool or _pool(connection)
        last = {table: _last_id(connection, table) for table, columns in COLUMNS.items() if _is_numbered(table)}
        with _bare_tables(connection):
            counted = _copy(address, replace(plan, pool=pool), last)
        for table in last:
            _go_on_numbering(connection, table)
        connection.execute("VACUUM (ANALYZE)")
    return counted


def _is_numbered(table: str) -> bool:
    return COLUMNS[table][0] == "id" and table != "upload"


def _pool(connection: psycopg.Connection) -> list[Leaf]:
    found = connection.execute("SELECT id, sha256, nbytes FROM blob ORDER BY id").fetchall()
    return [Leaf("", blob, sha256, nbytes) for blob, sha256, nbytes in found]


def _last_id(connection: psycopg.Connection, table: str) -> int:
    query = sql.SQL("SELECT coalesce(max(id), 0) FROM {}").format(sql.Identifier(table))
    found = connection.execute(query).fetchone()
    assert found is not None
    return int(found[0])


def _go_on_numbering(connection: psycopg.Connection, table: str) -> None:
    quoted = f'"{table}"'
    query = sql.SQL("SELECT setval(pg_get_serial_sequence({}, 'id'), (SELECT max(id) FROM {}))")
    connection.execute(query.format(sql.Literal(quoted), sql.Identifier(table)))


@contextmanager
def _bare_tables(connection: psycopg.Connection) -> Iterator[None]:
    """Without constraints and indexes inside of the block, with the same ones as before after it."""
    tables = list(COLUMNS)
    constraints = connection.execute(
        "SELECT conrelid::regclass::text, conname, contype, pg_get_constraintdef(oid) FROM pg_constraint"
        " WHERE connamespace = 'public'::regnamespace AND contype IN ('f', 'u', 'p')"
        " AND (trim(both '\"' from conrelid::regclass::text) = ANY(%s)"
        "   OR (contype = 'f' AND trim(both '\"' from confrelid::regclass::text) = ANY(%s)))",
        (tables, tables),
    ).fetchall()
    named = {name for _, name, _, _ in constraints}
    found = connection.execute(
        "SELECT indexname, indexdef FROM pg_indexes WHERE schemaname = 'public' AND tablename = ANY(%s)", (tables,)
    )
    indexes = [(name, definition) for name, definition in found.fetchall() if name not in named]
    for table, name, _, _ in sorted(constraints, key=lambda each: each[2] != "f"):
        connection.execute(f'ALTER TABLE {table} DROP CONSTRAINT "{name}"')  # type: ignore[arg-type]
    for name, _ in indexes:
        connection.execute(sql.SQL("DROP INDEX {}").format(sql.Identifier(name)))
    yield
    for table, name, _, definition in sorted(constraints, key=lambda each: each[2] == "f"):
        connection.execute(f'ALTER TABLE {table} ADD CONSTRAINT "{name}" {definition}')  # type: ignore[arg-type]
    for _, definition in indexes:
        connection.execute(definition)


def _copy(address: str, plan: SeedPlan, last: Mapping[str, int]) -> Counter[str]:
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        copies = {}
        for table, columns in COLUMNS.items():
            connection = stack.enter_context(psycopg.connect(address))
            names = sql.SQL(", ").join(map(sql.Identifier, columns))
            statement = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
            copies[table] = stack.enter_context(connection.cursor().copy(statement))
        blocks: dict[str, list[str]] = {table: [] for table in COLUMNS}
        for table, row in rows(plan, last):
            block = blocks[table]
            block.append(_line(row))
            if len(block) == BLOCK_ROWS:
                copies[table].write("".join(block))
                counted[table] += len(block)
                block.clear()
        for table, block in blocks.items():
            copies[table].write("".join(block))
            counted[table] += len(block)
    return counted


def _line(row: Row) -> str:
    """A row in COPY's text format; nothing that is seeded needs escaping."""
    return "\t".join([each.isoformat() if isinstance(each, datetime) else str(each) for each in row]) + "\n"


def disk_nbytes(url: str) -> dict[str, int]:
    """Bytes of each seeded table with its indexes, and of the whole ``database``."""
    with psycopg.connect(url.replace("+psycopg", "", 1)) as connection:
        sizes = {}
        for table in COLUMNS:
            found = connection.execute("SELECT pg_total_relation_size(%s)", (f'"{table}"',)).fetchone()
            assert found is not None
            sizes[table] = int(found[0])
        whole = connection.execute("SELECT pg_database_size(current_database())").fetchone()
        assert whole is not None
        return {**sizes, "database": int(whole[0])}


def add_flags(parser: argparse.ArgumentParser) -> None:
    """One flag for every number of the plan."""
    for each in fields(SeedPlan):
        if each.name != "pool":
            parser.add_argument("--" + each.name.replace("_", "-"), type=int, default=each.default)


def plan_from(arguments: argparse.Namespace) -> SeedPlan:
    """The plan that the flags ask for."""
    return SeedPlan(**{each.name: getattr(arguments, each.name) for each in fields(SeedPlan) if each.name != "pool"})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("url", help="SQLAlchemy URL of a migrated Postgres database")
    add_flags(parser)
    arguments = parser.parse_args()
    begun = time.monotonic()
    counted = seed(arguments.url, plan_from(arguments))
    sizes = disk_nbytes(arguments.url)
    print("| table | rows | MB with indexes |\n|---|---:|---:|")
    for table, number in counted.most_common():
        print(f"| {table} | {number:,} | {sizes[table] / 1e6:,.0f} |")
    print(f"\nseeded in {time.monotonic() - begun:.0f} s, {sizes['database'] / 1e9:.1f} GB on disk")


if __name__ == "__main__":
    main()
