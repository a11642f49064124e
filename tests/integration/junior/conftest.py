"""One stack for all tests of the guard, and a family a test."""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import NamedTuple

import asyncpg
import pytest
from tests.integration.delivery_world import DeliveryWorld, prepared_stack, world_of
from tests.integration.junior.hands import Hands
from tests.ports import offset_of

from petitbleu_dev.stack import Stack


class Family(NamedTuple):
    """A child with two guardians: addresses and accounts."""

    child: str
    child_id: int
    mother: str
    mother_id: int
    father: str
    father_id: int


WITHOUT = "PETITBLEU_TEST_WITHOUT"
_CHANGED = ("store", "junior-guard", "delivery", "ingest")


def switch_off(stack: Stack) -> None:
    """Start services anew without a rule, where `test_junior_without` asks for it."""
    changes = os.environ.get(WITHOUT)
    environment = {WITHOUT: changes or "", "PYTHONPATH": str(Path(__file__).with_name("without"))}
    for service in _CHANGED if changes else ():
        if service in stack.status()["processes"]:
            stack.stop_process(service)
            stack.start_process(service, environment=environment)


@pytest.fixture(scope="package")
def junior_stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    with prepared_stack(
        tmp_path_factory.mktemp("junior") / "data", offset_of(592), {"PETITBLEU_JUNIOR_GUARD_UPKEEP_SECONDS": "0.5"}
    ) as stack:
        switch_off(stack)
        yield stack


@contextlib.asynccontextmanager
async def own_database(stack: Stack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    """A connection as the database's administrator, looking at junior-guard's tables."""
    layout = stack.layout
    connection = await asyncpg.connect(
        user="postgres", password=(layout.secrets / "postgres-postgres").read_text().strip(), database="petitbleu",
        host=str(layout.run / "pg"), server_settings={"search_path": "junior_guard"},
    )  # fmt: skip
    yield connection
    await connection.close()


@pytest.fixture
async def own(junior_stack: Stack) -> AsyncIterator[asyncpg.Connection[asyncpg.Record]]:
    async with own_database(junior_stack) as connection:
        yield connection


@pytest.fixture
async def world(junior_stack: Stack) -> AsyncIterator[DeliveryWorld]:
    async with world_of(junior_stack) as made:
        yield made


@pytest.fixture
async def family(world: DeliveryWorld) -> Family:
    mother, father = await world.person("mother"), await world.person("father")
    child = await world.person("child", guarded=True, guardians=(mother[0], father[0]))
    return Family(*child, *mother, *father)


@pytest.fixture
def hands(world: DeliveryWorld) -> Hands:
    return Hands(world)
