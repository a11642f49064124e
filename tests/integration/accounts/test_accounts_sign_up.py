"""Accounts that people open themselves, over gRPC against a real PostgreSQL."""

import asyncio
import datetime as dt
from typing import Any

import asyncpg
import grpc
import pytest
from tests.integration.accounts.test_accounts_credentials import refused

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc, people_pb2_grpc
from petitbleu.accounts.v1 import people_pb2 as pb
from petitbleu_accounts.adapters.postgres_sign_up import PostgresSignUp
from petitbleu_accounts.domain.proof_of_work import proves

GOOD = "correct horse battery"
CLIENT = "192.0.2.7"


async def call(world: Any, method: str, *, principal: str = "", **fields: Any) -> Any:
    """Call SignUpService as gateway."""
    peer = world.peer("gateway")
    stub = people_pb2_grpc.SignUpServiceStub(peer.channel)
    request = getattr(pb, f"{method}Request")(**fields)
    return await peer.call(getattr(stub, method), request, timeout=10, principal=principal)


async def solved(world: Any, client_ip: str = CLIENT) -> dict[str, str]:
    """Ask for work and do it."""
    given = await call(world, "CreateChallenge", client_ip=client_ip)
    answer = next(str(n) for n in range(1 << 26) if proves(given.challenge, str(n), given.bits))
    return {"challenge": given.challenge, "answer": answer}


async def sign_up(world: Any, name: str, **fields: Any) -> Any:
    """Open an account."""
    asked = {
        "domain": "one.test", "display_name": "Some Body", "password": GOOD, "language": "fr", "client_ip": CLIENT,
        **(await solved(world)), **fields,
    }  # fmt: skip
    return await call(world, "SignUp", name=name, **asked)


@pytest.fixture
async def world(world: Any) -> Any:
    """one.test is open to people, work is cheap."""
    await world.admin("SetSignUp", domain="one.test", open=True)
    return world


async def test_who_solves_a_challenge_has_an_account_a_code_and_a_principal(world: Any) -> None:
    how = await call(world, "GetSignUp")
    assert list(how.domains) == ["one.test"]
    opened = await sign_up(world, " Jeanne ")
    assert (opened.fault, opened.address) == (pb.SIGN_UP_FAULT_UNSPECIFIED, "jeanne@one.test")
    who = world.principals.principal(opened.principal)
    assert (who.roles, who.guarded, who.session_id) == (("person",), False, 0)
    assert (
        await world.authenticate(login="jeanne@one.test", password=GOOD, protocol="jmap")
    ).account.quota_octets == 1 << 30
    (row,) = await world.sql("SELECT recovery_digest FROM person WHERE account_id = $1", who.account_id)
    assert len(row["recovery_digest"]) == 32
    assert opened.recovery_code.encode() not in row["recovery_digest"]


async def test_nothing_is_opened_without_work_and_a_challenge_is_good_for_one_account(world: Any) -> None:
    work = await solved(world)
    assert (await sign_up(world, "first", **work)).fault == pb.SIGN_UP_FAULT_UNSPECIFIED
    assert (await sign_up(world, "second", **work)).fault == pb.SIGN_UP_FAULT_CHALLENGE
    assert (await sign_up(world, "second", challenge="", answer="")).fault == pb.SIGN_UP_FAULT_CHALLENGE
    fresh = await solved(world)
    wrong = next(str(n) for n in range(100) if not proves(fresh["challenge"], str(n), 4))
    assert (await sign_up(world, "second", challenge=fresh["challenge"], answer=wrong)).fault == pb.SIGN_UP_FAULT_ANSWER
    both = await asyncio.gather(*(sign_up(world, f"both{n}", **fresh) for n in range(4)))
    assert sorted(one.fault for one in both) == [0, 7, 7, 7]


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("alice", "TAKEN"), ("alias", "TAKEN"), ("gone", "TAKEN"), ("a1ice", "TAKEN"), ("al.ice", "TAKEN"), ("g0ne", "TAKEN"), ("a1ias", "TAKEN"),
        ("postmaster", "RESERVED"), ("supp0rt", "RESERVED"), ("alicé", "BAD_NAME"), ("a", "BAD_NAME"), ("alice+x", "BAD_NAME"), ("", "BAD_NAME"),
    ],
)  # fmt: skip
async def test_names_that_may_not_be_had(world: Any, name: str, fault: str) -> None:
    await world.create(address="alice@one.test", password=GOOD)
    await world.create(address="gone@one.test", password=GOOD)
    await world.admin("PutAlias", address="alias@one.test", members=["alice@one.test"])
    await world.admin("CloseAccount", address="gone@one.test")
    for _ in range(100):
        if not await world.sql("SELECT FROM address WHERE alike IS NULL"):
            break
        await asyncio.sleep(0.05)
    wanted = getattr(pb, f"SIGN_UP_FAULT_{fault}")
    assert (await call(world, "CheckName", name=name, domain="one.test", client_ip=CLIENT)).fault == wanted
    assert (await sign_up(world, name)).fault == wanted


async def test_a_name_that_is_free_is_said_to_be(world: Any) -> None:
    assert (await call(world, "CheckName", name="Free", domain="one.test", client_ip=CLIENT)).fault == 0
    assert (
        await call(world, "CheckName", name="free", domain="two.test", client_ip=CLIENT)
    ).fault == pb.SIGN_UP_FAULT_CLOSED


@pytest.mark.parametrize(
    ("fields", "fault"),
    [
        ({"domain": "two.test"}, "CLOSED"), ({"domain": "elsewhere.test"}, "CLOSED"), ({"password": "short"}, "BAD_PASSWORD"),
        ({"password": "x" * 2000}, "BAD_PASSWORD"), ({"display_name": ""}, "BAD_PERSON"), ({"display_name": "a\nb"}, "BAD_PERSON"),
        ({"language": "?"}, "BAD_PERSON"),
    ],
)  # fmt: skip
async def test_what_is_asked_wrongly_is_named_and_costs_no_challenge(world: Any, fields: Any, fault: str) -> None:
    work = await solved(world)
    assert (await sign_up(world, "somebody", **work, **fields)).fault == getattr(pb, f"SIGN_UP_FAULT_{fault}")
    assert (await sign_up(world, "somebody", **work)).fault == pb.SIGN_UP_FAULT_UNSPECIFIED


async def test_of_two_who_want_one_name_or_two_that_look_alike_one_has_it(world: Any) -> None:
    names = ["martin", "rnartin", "mart1n", "mar.tin"]
    opened = await asyncio.gather(*(sign_up(world, names[n % 4], password=f"{GOOD}{n}") for n in range(8)))
    won = [n for n, one in enumerate(opened) if one.fault == 0]
    assert len(won) == 1
    assert all(one.fault in {0, pb.SIGN_UP_FAULT_TAKEN} for one in opened)
    login = opened[won[0]].address
    await world.authenticate(login=login, password=f"{GOOD}{won[0]}", protocol="jmap")
    others = [world.authenticate(login=login, password=f"{GOOD}{n}", protocol="jmap") for n in range(3) if n != won[0]]
    for other in others:
        await refused(other)


async def test_a_person_never_takes_over_what_the_operator_has_left_half_made(world: Any) -> None:
    world.notes.store_away = True
    await refused(world.create(address="half@one.test", password=GOOD), grpc.StatusCode.UNAVAILABLE)
    world.notes.store_away = False
    await world.sql("UPDATE account SET changed_at = now() + interval '1 hour'")  # before the sweep
    assert (await sign_up(world, "half", password="another password")).fault == pb.SIGN_UP_FAULT_TAKEN
    made = await world.create(address="half@one.test", password=GOOD)
    assert made.error == ""
    await world.authenticate(login="half@one.test", password=GOOD, protocol="jmap")


async def test_store_away_opens_nothing_and_a_repeat_does(world: Any) -> None:
    world.notes.store_away = True
    # a channel tries once more by itself, and a challenge is good once
    assert (await sign_up(world, "again")).fault == pb.SIGN_UP_FAULT_CHALLENGE
    assert (await world.resolve("again@one.test"))[0].status == accounts_pb2.ADDRESS_STATUS_UNKNOWN
    world.notes.store_away = False
    opened = await sign_up(world, "again", password="the second try")
    assert opened.fault == pb.SIGN_UP_FAULT_UNSPECIFIED
    await world.authenticate(login="again@one.test", password="the second try", protocol="jmap")
    fields = {"address": "again@one.test", "recovery_code": opened.recovery_code, "password": GOOD}
    assert (await call(world, "Recover", **fields)).fault == 0


async def test_the_work_grows_with_what_comes_from_a_network(idle_world: Any) -> None:
    async with idle_world.running(sign_up_lowest_bits=2, sign_up_free_network=2, sign_up_highest_bits=5):
        bits = [(await call(idle_world, "CreateChallenge", client_ip=CLIENT)).bits for _ in range(20)]
        assert bits == [2, 2, 3, 3] + [4] * 4 + [5] * 12
        assert (await call(idle_world, "CreateChallenge", client_ip="198.51.100.1")).bits == 2


async def test_a_network_opens_so_many_accounts_an_hour(idle_world: Any) -> None:
    await_made = {"sign_up_lowest_bits": 1, "sign_up_highest_bits": 1, "sign_up_network_hour": 3}
    async with idle_world.running(**await_made):
        await idle_world.admin("CreateTenant", name="one")
        await idle_world.admin("CreateDomain", tenant="one", name="one.test")
        await idle_world.admin("SetSignUp", domain="one.test", open=True)
        for n in range(3):
            assert (await sign_up(idle_world, f"person{n}")).fault == 0
        await refused(sign_up(idle_world, "person9"), grpc.StatusCode.RESOURCE_EXHAUSTED)
        assert (await sign_up(idle_world, "person9", client_ip="198.51.100.1")).fault == 0


async def test_the_recovery_code_sets_a_password_once_and_ends_all_else(world: Any) -> None:
    opened = await sign_up(world, "forgets")
    app = (await world.admin("CreateAppPassword", address="forgets@one.test", label="phone")).password
    peer = world.peer("gateway")
    stub = accounts_pb2_grpc.AuthenticationServiceStub(peer.channel)
    session = await peer.call(
        stub.CreateSession, accounts_pb2.CreateSessionRequest(), timeout=5, principal=opened.principal
    )
    code = opened.recovery_code.upper().replace("-", " ")
    back = await call(
        world, "Recover", address="FORGETS@one.test", recovery_code=code, password="a new password", client_ip=CLIENT
    )
    assert back.fault == 0
    assert (
        world.principals.principal(back.principal).account_id == world.principals.principal(opened.principal).account_id
    )
    await world.authenticate(login="forgets@one.test", password="a new password", protocol="jmap")
    for wrong in (
        {"login": "forgets@one.test", "password": GOOD}, {"login": "forgets@one.test", "password": app}, {"bearer": session.token},
    ):  # fmt: skip
        await refused(world.authenticate(protocol="jmap", **wrong))
    again = {"address": "forgets@one.test", "password": "yet another one", "client_ip": CLIENT}
    await refused(call(world, "Recover", recovery_code=code, **again))
    assert (await call(world, "Recover", recovery_code=back.recovery_code, **again)).fault == 0
    (row,) = await world.sql("SELECT credentials_changed_at FROM person WHERE credentials_changed_at IS NOT NULL")
    assert abs(row["credentials_changed_at"] - dt.datetime.now(dt.UTC)) < dt.timedelta(minutes=5)


async def test_recovery_tells_nobody_who_exists_and_is_limited(world: Any) -> None:
    opened = await sign_up(world, "exists")
    await world.create(address="nocode@one.test", password=GOOD)
    said = set()
    for address, code in (
        ("exists@one.test", "aaaa-" * 6), ("exists@one.test", "x"), ("nobody@one.test", opened.recovery_code), ("rubbish", ""),
        ("nocode@one.test", opened.recovery_code), ("nocode@one.test", ""), ("exists@one.test", ""),
    ):  # fmt: skip
        said.add(
            await refused(call(world, "Recover", address=address, recovery_code=code, password=GOOD, client_ip=CLIENT))
        )
    assert len(said) == 1
    wrong = {"address": "exists@one.test", "recovery_code": "b" * 26, "password": GOOD, "client_ip": "198.51.100.9"}
    for _ in range(10):
        await refused(call(world, "Recover", **wrong))
    await refused(call(world, "Recover", **wrong), grpc.StatusCode.RESOURCE_EXHAUSTED)


async def test_two_with_one_recovery_code_are_one_and_none(world: Any) -> None:
    opened = await sign_up(world, "raced")
    tries = [
        call(
            world,
            "Recover",
            address="raced@one.test",
            recovery_code=opened.recovery_code,
            password=f"{GOOD}{n}",
            client_ip=CLIENT,
        )
        for n in range(4)
    ]
    got = await asyncio.gather(*tries, return_exceptions=True)
    assert [isinstance(one, Exception) for one in got].count(False) == 1


async def test_an_adult_opens_a_childs_account_and_only_the_child_sets_its_password(world: Any) -> None:
    parent = await sign_up(world, "mother")
    year = dt.datetime.now(dt.UTC).year
    child: dict[str, Any] = {
        "name": "zoe",
        "domain": "one.test",
        "display_name": "Zoé",
        "language": "fr",
        "birth_year": year - 9,
        "birth_month": 1,
    }
    opened = await call(world, "OpenChild", principal=parent.principal, **child)
    assert (opened.fault, opened.address, opened.pending) == (0, "zoe@one.test", False)
    (registered,) = [request for kind, request in world.notes.calls if kind == "child"]
    assert (registered.birth_year, registered.birth_month, registered.level) == (year - 9, 1, 2)
    assert list(registered.guardian_addresses) == ["mother@one.test"]
    assert (await world.resolve("zoe@one.test"))[0].targets[0].guarded
    await refused(world.authenticate(login="zoe@one.test", password="", protocol="jmap"))
    back = await call(
        world, "Recover", address="zoe@one.test", recovery_code=opened.code, password="a child's own", client_ip=CLIENT
    )
    who = world.principals.principal(back.principal)
    assert (who.guarded, who.roles) == (True, ("child",))
    for fields in (
        {"birth_month": 13},
        {"birth_year": year + 1},
        {"birth_year": year - 40},
        {"level": 5},
        {"birth_year": 0},
    ):
        again = await call(world, "OpenChild", principal=parent.principal, **{**child, "name": "other", **fields})
        assert again.fault == pb.SIGN_UP_FAULT_BAD_CHILD
    # a child opens no account, and nobody opens one at another tenant's domain
    await refused(
        call(world, "OpenChild", principal=back.principal, **{**child, "name": "doll"}),
        grpc.StatusCode.PERMISSION_DENIED,
    )
    await world.admin("SetSignUp", domain="two.test", open=True)
    assert (
        await call(world, "OpenChild", principal=parent.principal, **{**child, "domain": "two.test"})
    ).fault == pb.SIGN_UP_FAULT_CLOSED
    await refused(call(world, "OpenChild", **child))


async def test_a_child_of_whom_junior_guard_has_not_heard_appears_once_it_has(world: Any) -> None:
    parent = await sign_up(world, "mother")
    year = dt.datetime.now(dt.UTC).year
    world.notes.guard_away = True
    opened = await call(
        world, "OpenChild", principal=parent.principal, name="late", domain="one.test", display_name="Late", language="fr",
        birth_year=year - 15, birth_month=2, level=1,
    )  # fmt: skip
    assert (opened.fault, opened.pending) == (0, True)
    assert (await world.resolve("late@one.test"))[0].status == accounts_pb2.ADDRESS_STATUS_UNKNOWN
    world.notes.guard_away = False
    for _ in range(200):
        if (await world.resolve("late@one.test"))[0].status == accounts_pb2.ADDRESS_STATUS_LOCAL:
            break
        await asyncio.sleep(0.05)
    (registered,) = [request for kind, request in world.notes.calls if kind == "child"]
    assert (registered.birth_year, registered.birth_month, registered.level) == (year - 15, 2, 1)
    assert (
        await call(
            world, "Recover", address="late@one.test", recovery_code=opened.code, password=GOOD, client_ip=CLIENT
        )
    ).fault == 0
    assert not await world.sql("SELECT FROM person WHERE pending_child IS NOT NULL")


async def test_challenges_that_are_over_are_forgotten(world: Any) -> None:
    await sign_up(world, "once")
    await sign_up(world, "twice")
    await world.sql(
        "UPDATE spent_challenge SET ends_at = now() - interval '2 minutes' WHERE nonce = (SELECT min(nonce) FROM spent_challenge)"
    )
    pool = await asyncpg.create_pool(world.dsn, min_size=1, server_settings={"search_path": "accounts"})
    await PostgresSignUp(pool).prune()
    await pool.close()
    assert len(await world.sql("SELECT FROM spent_challenge")) == 1
