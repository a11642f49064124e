"""Until when a principal may be somebody else's: by a password that was just set, from a device that was never seen, or from nowhere in particular."""

import time
from typing import Any

from tests.integration.accounts.test_accounts_credentials import session_call

GOOD = "correct horse battery"
DAY = 86_400
PHONE, LAPTOP, THIEFS = b"p" * 16, b"l" * 16, b"t" * 16


async def cooling(world: Any, device: bytes = b"", password: str = GOOD) -> int:
    """Sign in from a device; how long the session's principal is not sure to be the person, seconds."""
    by_password = await world.authenticate(login="alice@one.test", password=password, protocol="jmap")
    made = await session_call(world, "CreateSession", by_password.principal, label="x", device=device)
    shown = await world.authenticate(bearer=made.token, protocol="jmap")
    until: int = world.principals.principal(shown.principal).cooling_until
    return max(0, until - int(time.time()))


def about_a_day(seconds: int) -> bool:
    return DAY - 60 <= seconds <= DAY + 1


async def test_the_first_device_is_ones_own_and_a_new_one_a_day_later(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    assert await cooling(world, PHONE) == 0
    assert await cooling(world, PHONE) == 0
    assert about_a_day(await cooling(world, LAPTOP))
    assert about_a_day(await cooling(world, LAPTOP))
    await world.sql("UPDATE device SET trusted_at = trusted_at - interval '1 day' WHERE trusted_at > now()")
    assert await cooling(world, LAPTOP) == 0
    assert about_a_day(await cooling(world, THIEFS))


async def test_what_is_known_by_nothing_is_somebody_new_each_time(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    assert await cooling(world) == 0  # nobody was there before
    assert about_a_day(await cooling(world))
    assert about_a_day(await cooling(world, b"short"))
    assert about_a_day(await cooling(world, PHONE))
    assert len(await world.sql("SELECT FROM device")) == 2


async def test_a_password_from_nowhere_in_particular_is_never_sure(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    for _ in range(2):
        shown = await world.authenticate(login="alice@one.test", password=GOOD, protocol="jmap")
        assert about_a_day(world.principals.principal(shown.principal).cooling_until - int(time.time()))


async def test_a_new_app_password_is_sure_a_day_later(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    app = (await world.admin("CreateAppPassword", address="alice@one.test", label="phone")).password
    shown = await world.authenticate(login="alice@one.test", password=app, protocol="jmap")
    assert about_a_day(world.principals.principal(shown.principal).cooling_until - int(time.time()))
    await world.sql("UPDATE app_password SET created_at = created_at - interval '1 day'")
    shown = await world.authenticate(login="alice@one.test", password=app.upper(), protocol="jmap")
    assert world.principals.principal(shown.principal).cooling_until == 0


async def test_after_a_new_password_only_a_known_device_is_sure(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    assert await cooling(world, PHONE) == 0
    await world.admin("SetPassword", address="alice@one.test", password="another password")
    assert await cooling(world, PHONE, "another password") == 0
    assert about_a_day(await cooling(world, LAPTOP, "another password"))


async def test_where_a_password_was_set_before_anybody_came_the_first_device_waits_too(world: Any) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.admin("SetPassword", address="alice@one.test", password="another password")
    assert about_a_day(await cooling(world, PHONE, "another password"))
