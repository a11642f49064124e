"""Making accounts and finding where addresses lead, over gRPC against a real PostgreSQL."""

import asyncio
import time
from typing import Any

import grpc
import grpc.aio
import nats
import pytest

from petitbleu.accounts.v1 import accounts_pb2, accounts_pb2_grpc
from petitbleu.events.v1 import events_pb2
from petitbleu_accounts.adapters.postgres_directory import PostgresDirectory
from petitbleu_accounts.service.resolve import Resolver
from petitbleu_kit.lane import Lane
from petitbleu_kit.postgres import open_pool

LOCAL, UNKNOWN = accounts_pb2.ADDRESS_STATUS_LOCAL, accounts_pb2.ADDRESS_STATUS_UNKNOWN
DISABLED, REMOTE = accounts_pb2.ADDRESS_STATUS_DISABLED, accounts_pb2.ADDRESS_STATUS_REMOTE


def ids(resolution: Any) -> list[int]:
    return [target.account_id for target in resolution.targets]


async def test_an_account_is_found_under_every_form_of_its_address(world: Any) -> None:
    made = await world.create(address="Alice.Émilie@One.test", display_name="Alice")
    assert made.error == ""
    assert made.account.address == "alice.émilie@one.test"
    decomposed = "alice.e\u0301milie@ONE.TEST"
    answers = await world.resolve(decomposed, "alice.émilie+News@one.test", '"alice.émilie"@one.test', "bob@one.test")
    assert [answer.status for answer in answers] == [LOCAL, LOCAL, LOCAL, UNKNOWN]
    assert [ids(answer) for answer in answers[:3]] == [[made.account.account_id]] * 3
    assert [answer.targets[0].detail for answer in answers[:3]] == ["", "news", ""]
    assert answers[0].tenant_id == made.account.tenant_id


async def test_an_internationalised_domain_is_the_same_in_both_spellings(world: Any) -> None:
    await world.admin("CreateDomain", tenant="one", name="Bücher.example")
    made = await world.create(address="ada@bücher.example")
    answers = await world.resolve(
        "ada@xn--bcher-kva.example", "ada@BÜCHER.example", "ada@other.example", "not an address"
    )
    assert [answer.status for answer in answers] == [LOCAL, LOCAL, REMOTE, UNKNOWN]
    assert ids(answers[1]) == [made.account.account_id]


async def test_hosted_domains_are_told_with_their_tenants(world: Any) -> None:
    made = (await world.admin("CreateDomain", tenant="one", name="Straße.example")).domain
    stub = accounts_pb2_grpc.DirectoryServiceStub(world.peer("delivery").channel)

    async def ask(*names: str) -> list[Any]:
        request = accounts_pb2.GetDomainsRequest(names=names)
        return list((await world.peer("delivery").call(stub.GetDomains, request, timeout=10)).domains)

    found = await ask("STRASSE.example", "straße.example.", "elsewhere.example", "not a domain", "[192.0.2.1]", "")
    assert [(one.name, one.tenant_id, one.domain_id) for one in found] == [
        ("xn--strae-oqa.example", made.tenant_id, made.domain_id)
    ]
    with pytest.raises(grpc.aio.AioRpcError) as too_many:
        await ask(*[f"d{number}.example" for number in range(1001)])
    assert too_many.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_an_exact_address_wins_over_the_split_of_a_detail(world: Any) -> None:
    plain = (await world.create(address="sam@one.test")).account
    exact = (await world.create(address="sam+work@one.test")).account
    answers = await world.resolve("sam+work@one.test", "sam+play@one.test")
    assert [ids(answer) for answer in answers] == [[exact.account_id], [plain.account_id]]


async def test_groups_nest_cut_doubles_and_refuse_loops(world: Any) -> None:
    people = [(await world.create(address=f"p{n}@one.test")).account.account_id for n in range(3)]
    await world.admin("PutAlias", address="inner@one.test", members=["p0@one.test", "p1@one.test"])
    await world.admin("PutAlias", address="outer@one.test", members=["inner@one.test", "p1@one.test", "p2@one.test"])
    found = (await world.resolve("outer+list@one.test"))[0]
    assert sorted(ids(found)) == sorted(people)
    assert {target.detail for target in found.targets} == {"list"}
    assert all(target.via_id for target in found.targets)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await world.admin("PutAlias", address="inner@one.test", members=["outer@one.test"])
    assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    await world.admin("DeleteAlias", address="inner@one.test")
    assert len(ids((await world.resolve("outer@one.test"))[0])) == 2


async def test_six_aliases_behind_each_other_are_refused(world: Any) -> None:
    await world.create(address="end@one.test")
    previous = "end@one.test"
    for level in range(5):
        await world.admin("PutAlias", address=f"a{level}@one.test", members=[previous])
        previous = f"a{level}@one.test"
    assert len(ids((await world.resolve("a4@one.test"))[0])) == 1
    with pytest.raises(grpc.aio.AioRpcError, match="not more"):
        await world.admin("PutAlias", address="a5@one.test", members=[previous])


async def test_a_loop_that_stands_in_the_table_does_not_hang_resolve(world: Any) -> None:
    await world.create(address="x@one.test")
    for name in ("l1", "l2"):
        await world.admin("PutAlias", address=f"{name}@one.test", members=["x@one.test"])
    await world.sql(
        "INSERT INTO alias_member SELECT alias_id, CASE address WHEN 'l1@one.test' THEN 'l2@one.test' ELSE 'l1@one.test' END "
        "FROM address WHERE alias_id IS NOT NULL"
    )
    found = await world.resolve("l1@one.test", "l2@one.test")
    assert [len(ids(answer)) for answer in found] == [1, 1]


async def test_offices_reach_the_administrators_and_then_somebody(world: Any) -> None:
    anybody = (await world.create(address="first@one.test")).account
    assert ids((await world.resolve("postmaster@one.test"))[0]) == [anybody.account_id]
    admin = (await world.create(address="boss@one.test", roles=[accounts_pb2.ROLE_TENANT_ADMIN])).account
    answers = await world.resolve("Postmaster@one.test", "abuse@one.test", "postmaster", "abuse@two.test")
    assert [ids(answer) for answer in answers] == [[admin.account_id]] * 3 + [[]]
    assert answers[3].status == UNKNOWN  # nobody at all lives in this domain
    own = (await world.create(address="postmaster@one.test")).account
    assert ids((await world.resolve("postmaster"))[0]) == [own.account_id]
    await world.admin("SetAccountState", address="postmaster@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    assert ids((await world.resolve("postmaster@one.test"))[0]) == [admin.account_id]


async def test_catch_all_disabled_and_closed(world: Any) -> None:
    net = (await world.create(address="net@one.test")).account
    gone = (await world.create(address="gone@one.test")).account
    await world.admin("SetCatchAll", domain="one.test", address="net@one.test")
    nobody = (await world.resolve("who+x@one.test"))[0]
    assert (ids(nobody), nobody.targets[0].detail, nobody.targets[0].via_id) == (
        [net.account_id],
        "x",
        nobody.domain_id,
    )
    await world.admin("SetAccountState", address="gone@one.test", state=accounts_pb2.ACCOUNT_STATE_DISABLED)
    assert (await world.resolve("gone@one.test"))[0].status == DISABLED
    await world.admin("SetCatchAll", domain="one.test", address="")
    await world.admin("CloseAccount", address="gone@one.test")
    assert (await world.resolve("gone@one.test"))[0].status == UNKNOWN
    assert ("erase", gone.account_id) in world.notes.calls
    assert (await world.create(address="gone@one.test")).error == "already-exists"
    assert not await world.sql("SELECT 1 FROM address WHERE address LIKE 'gone%'")
    assert not await world.sql("SELECT 1 FROM person WHERE account_id = $1", gone.account_id)


async def test_an_erasure_goes_on_until_store_answers(world: Any) -> None:
    made = (await world.create(address="leaver@one.test", password="a password that is long")).account
    world.notes.store_away = True
    await world.admin("CloseAccount", address="leaver@one.test")
    assert await world.sql("SELECT 1 FROM account WHERE account_id = $1 AND state = 3", made.account_id)
    world.notes.store_away = False
    for _ in range(50):
        if ("erase", made.account_id) in world.notes.calls:
            break
        await asyncio.sleep(0.1)
    await asyncio.sleep(0.3)
    assert not await world.sql("SELECT 1 FROM account WHERE account_id = $1", made.account_id)


async def test_bulk_creation_gives_each_account_its_own_result(world: Any) -> None:
    wanted = [accounts_pb2.NewAccount(address=f"u{n}@one.test") for n in range(995)]
    wanted += [
        accounts_pb2.NewAccount(address="u5@one.test"),
        accounts_pb2.NewAccount(address="nobody@elsewhere.test"),
        accounts_pb2.NewAccount(address="not an address"),
        accounts_pb2.NewAccount(address="short@one.test", password="short"),
        accounts_pb2.NewAccount(address="child@one.test", guarded=True),
    ]
    start = time.monotonic()
    made = await world.admin("CreateAccounts", accounts=wanted)
    print(f"1,000 accounts in {time.monotonic() - start:.2f} s")
    errors = [result.error for result in made.results]
    assert errors[:995] == [""] * 995
    assert errors[995:] == ["already-exists", "unknown-domain", "bad-address", "bad-password", "bad-guardian"]
    assert len({result.account.account_id for result in made.results[:995]}) == 995
    again = await world.admin("CreateAccounts", accounts=wanted[:10])
    assert {result.error for result in again.results} == {"already-exists"}
    assert len(await world.sql("SELECT 1 FROM outbox WHERE subject LIKE 'accounts.directory.changed.v1.%'")) == 3
    found = await world.resolve(*(f"u{n}@one.test" for n in range(995)))
    assert [ids(answer) for answer in found] == [[result.account.account_id] for result in made.results[:995]]


async def test_the_guard_stands_before_the_address_does(world: Any) -> None:
    for name in ("mum", "dad"):
        await world.create(address=f"{name}@one.test")
    seen: list[int] = []

    async def look() -> None:
        seen.append((await world.resolve("kid@one.test"))[0].status)

    world.notes.during_create = look
    made = await world.create(address="kid@one.test", guarded=True, guardians=["mum@one.test", "dad@one.test"])
    assert made.error == ""
    assert seen == [UNKNOWN]
    (told,) = [
        call for what, call in world.notes.calls if what == "create" and call.account_id == made.account.account_id
    ]
    assert told.guarded
    (child,) = [call for what, call in world.notes.calls if what == "child"]
    assert sorted(child.guardian_addresses) == ["dad@one.test", "mum@one.test"]
    found = (await world.resolve("kid@one.test"))[0]
    assert found.targets[0].guarded
    peer = world.peer("junior-guard")
    stub = accounts_pb2_grpc.DirectoryServiceStub(peer.channel)
    request = accounts_pb2.GetAccountsRequest(account_ids=child.guardian_account_ids)
    guardians = (await peer.call(stub.GetAccounts, request, timeout=5)).accounts
    assert all(accounts_pb2.ROLE_GUARDIAN in guardian.roles for guardian in guardians)


async def test_a_child_waits_for_junior_guard_and_appears_by_itself(world: Any) -> None:
    await world.create(address="mum@one.test")
    world.notes.guard_away = True
    made = await world.create(address="kid@one.test", guarded=True, guardians=["mum@one.test"])
    assert made.error == "pending"
    assert (await world.resolve("kid@one.test"))[0].status == UNKNOWN
    world.notes.guard_away = False
    for _ in range(60):
        if (await world.resolve("kid@one.test"))[0].status == LOCAL:
            break
        await asyncio.sleep(0.1)
    assert (await world.resolve("kid@one.test"))[0].targets[0].guarded


async def test_a_crash_before_store_knows_is_finished_by_the_sweep_or_a_repeat(idle_world: Any) -> None:
    world = idle_world
    world.notes.store_away = True
    async with world.running():
        await world.admin("CreateTenant", name="one")
        await world.admin("CreateDomain", tenant="one", name="one.test")
        for name in ("left", "again"):
            with pytest.raises(grpc.aio.AioRpcError) as away:
                await world.create(address=f"{name}@one.test", password="a password that is long", quota_octets=77)
            assert away.value.code() == grpc.StatusCode.UNAVAILABLE
        assert [answer.status for answer in await world.resolve("left@one.test", "again@one.test")] == [UNKNOWN] * 2
    world.notes.store_away = False
    async with world.running(sweep_seconds=600.0, sweep_after_seconds=600.0):
        assert (await world.create(address="again@one.test", guarded=False, quota_octets=78)).error == "already-exists"
        repeated = await world.create(address="again@one.test", password="another good password", quota_octets=77)
        assert repeated.error == ""
        who = await world.authenticate(login="again@one.test", password="another good password", protocol="jmap")
        assert who.account.account_id == repeated.account.account_id
    async with world.running():
        for _ in range(60):
            if (await world.resolve("left@one.test"))[0].status == LOCAL:
                break
            await asyncio.sleep(0.1)
        assert (await world.authenticate(login="left@one.test", password="a password that is long")).principal


async def test_tenants_do_not_reach_each_other(world: Any) -> None:
    await world.create(address="a@one.test")
    await world.create(address="b@two.test")
    for method, fields in (
        ("PutAlias", {"address": "alias@one.test", "members": ["b@two.test"]}),
        ("SetCatchAll", {"domain": "one.test", "address": "b@two.test"}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.admin(method, **fields)
        assert refused.value.code() == grpc.StatusCode.FAILED_PRECONDITION
    made = await world.create(address="kid@one.test", guarded=True, guardians=["b@two.test"])
    assert made.error == "bad-guardian"
    # even a row that should not be there leads nowhere
    await world.admin("PutAlias", address="alias@one.test", members=["a@one.test"])
    await world.sql("UPDATE alias_member SET member = 'b@two.test'")
    assert (await world.resolve("alias@one.test"))[0].status == UNKNOWN


async def test_a_conversation_answers_what_single_questions_do(world: Any) -> None:
    await world.create(address="talk@one.test")
    peer = world.peer("ingest")
    stub = accounts_pb2_grpc.DirectoryServiceStub(peer.channel)
    lane: Lane[Any, Any] = Lane(peer, stub.ResolveMany, stub.Resolve)
    for asked in (["talk@one.test"], ["nobody@one.test", "talk@one.test", "x@elsewhere.test"], []):
        answer = await lane.call(accounts_pb2.ResolveRequest(addresses=asked), timeout=10)
        assert list(answer.resolutions) == await world.resolve(*asked)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await lane.call(accounts_pb2.ResolveRequest(addresses=["a@one.test"] * 1001), timeout=10)
    assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT
    answer = await lane.call(accounts_pb2.ResolveRequest(addresses=["talk@one.test"]), timeout=10)
    assert [one.status for one in answer.resolutions] == [LOCAL]
    lane.close()
    stranger = world.peer("store")
    foreign: Lane[Any, Any] = Lane(
        stranger, accounts_pb2_grpc.DirectoryServiceStub(stranger.channel).ResolveMany, stub.Resolve
    )
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await foreign.call(accounts_pb2.ResolveRequest(), timeout=5)
    assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_each_service_has_its_own_methods(world: Any) -> None:
    for service, stub_of, method, request in (
        ("delivery", accounts_pb2_grpc.AuthenticationServiceStub, "Authenticate", accounts_pb2.AuthenticateRequest()),
        ("gateway", accounts_pb2_grpc.AdminServiceStub, "ListTenants", accounts_pb2.ListTenantsRequest()),
        ("store", accounts_pb2_grpc.DirectoryServiceStub, "Resolve", accounts_pb2.ResolveRequest()),
    ):
        peer = world.peer(service)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await peer.call(getattr(stub_of(peer.channel), method), request, timeout=5)
        assert refused.value.code() == grpc.StatusCode.PERMISSION_DENIED


async def test_what_no_database_can_hold_is_the_callers_mistake(world: Any) -> None:
    for method, fields in (
        ("ListDomains", {"tenant": "nul\0"}),
        ("CreateTenant", {"name": "nul\0"}),
        ("CreateDomain", {"tenant": "one", "name": "nul\0.test"}),
        ("SetQuota", {"address": "a@one.test", "quota_octets": -1}),
        ("ListAccounts", {"limit": 1001}),
        ("ListAliases", {"limit": -1}),
        ("SetAccountState", {"address": "a@one.test", "state": 3}),
    ):
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await world.admin(method, **fields)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT, method
    result = await world.create(address="ok@one.test", display_name="nul\0")
    assert result.error == "bad-account"
    assert [answer.status for answer in await world.resolve("nul\0@one.test", "a@nul\0", "", "@", "a@[::1]")][:4] == [
        UNKNOWN
    ] * 4


async def test_a_database_that_goes_away_is_survived(world: Any) -> None:
    await world.create(address="a@one.test")
    database = world.dsn.rpartition("/")[2].partition("?")[0]
    for _ in range(3):  # every connection of the pool is cut, in the middle of whatever it does
        await world.sql(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()",
            database,
        )
        assert (await world.resolve("a@one.test"))[0].status == LOCAL  # the client's own retries hide it


async def test_each_change_is_told_on_the_bus_with_ids_only(world: Any) -> None:
    made = (await world.create(address="told@one.test")).account
    client = await nats.connect(world.settings.nats_url)
    heard = await client.subscribe("accounts.directory.changed.v1.*")
    await client.flush()
    await world.admin("SetQuota", address="told@one.test", quota_octets=5)
    message = await heard.next_msg(5)
    event = events_pb2.DirectoryChanged.FromString(message.data)
    assert (list(event.account_ids), event.tenant_id) == ([made.account_id], made.tenant_id)
    assert b"told" not in message.data
    assert message.subject.rpartition(".")[2] != "0"
    await client.close()


async def test_pages_of_aliases(world: Any) -> None:
    for name in ("a@one.test", "b@one.test", "c@two.test"):
        await world.create(address=name)
    wanted = {f"list{n}@one.test": ["a@one.test", "b@one.test"][: 1 + n % 2] for n in range(5)}
    for address, members in wanted.items():
        await world.admin("PutAlias", address=address, members=list(reversed(members)))
    await world.admin("PutAlias", address="other@two.test", members=["c@two.test"])
    found: dict[str, list[str]] = {}
    after = 0
    while page := (await world.admin("ListAliases", domain="one.test", after_alias_id=after, limit=2)).aliases:
        assert len(page) <= 2
        found |= {alias.address: list(alias.members) for alias in page}
        after = page[-1].alias_id
    assert found == wanted
    assert len((await world.admin("ListAliases")).aliases) == 6


async def test_pages_of_accounts_and_domains(world: Any) -> None:
    for n in range(5):
        await world.create(address=f"u{n}@one.test", display_name=f"U {n}")
    await world.create(address="other@two.test")
    seen: list[str] = []
    after = 0
    while page := (await world.admin("ListAccounts", domain="one.test", after_account_id=after, limit=2)).accounts:
        seen += [account.address for account in page]
        after = page[-1].account_id
    assert sorted(seen) == [f"u{n}@one.test" for n in range(5)]
    assert [domain.name for domain in (await world.admin("ListDomains", tenant="two")).domains] == ["two.test"]
    assert [tenant.name for tenant in (await world.admin("ListTenants")).tenants] == ["one", "two"]
    for _ in range(2):
        await world.admin("PutMark", tenant="one", mark="set-up.1")
    assert (await world.admin("ListMarks", tenant="one")).marks == ["set-up.1"]
    assert (await world.admin("ListMarks", tenant="two")).marks == []


async def test_a_batch_costs_a_fraction_of_its_addresses_asked_one_by_one(world: Any) -> None:
    await world.admin(
        "CreateAccounts", accounts=[accounts_pb2.NewAccount(address=f"u{n}@one.test") for n in range(1000)]
    )
    pool = await open_pool(world.dsn, "accounts", 2)
    resolver = Resolver(PostgresDirectory(pool))
    addresses = [f"U{n}+list@one.test" for n in range(1000)]
    await resolver.resolve(addresses)

    async def cost(*questions: list[str]) -> float:
        start = time.thread_time()
        for question in questions:
            await resolver.resolve(question)
        return (time.thread_time() - start) / sum(map(len, questions))

    # both sides in turn, and the best of each: what else the machine does falls on neither
    single, batch = zip(
        *[(await cost(*([one] for one in addresses[:200])), await cost(addresses)) for _ in range(5)], strict=True
    )
    print(f"{min(batch) * 1e6:.1f} µs of this process an address in a batch, {min(single) * 1e6:.1f} µs alone")
    await pool.close()
    assert min(batch) < min(single) / 4
