"""A stranger's letter waits; a parent is told on the page, and lets it in by one tap; the child reads it and answers."""

from __future__ import annotations

import re
import time

import pytest
from playwright.sync_api import Dialog
from tests.browser.conftest import Home, Visit, Visitor
from tests.live_stack import DOMAIN, PASSWORD

WORDS = {
    "en": {
        "family": "Family", "deliver": "Deliver, and always from now on", "done": "Done.", "answer": "Answer", "letter": "Your letter",
        "sky": "Sky", "send": "Send it!", "off": "Off it goes!", "new": "I would like to write to somebody new", "ask": "Ask my parents",
        "asked": "Your parents have been asked", "approve": "Approve", "write": "Write", "to": "To", "subject": "Subject", "message": "Message",
        "sendOut": "Send", "sent": "Sent.", "mail": "Mail", "openAccount": "Open an account", "name": "Your name",
        "wanted": "The address you would like", "password": "A password", "again": "The same password once more", "make": "Open my account",
        "free": "This address is free.", "kept": "I have kept it", "openChild": "Open an account for a child", "childName": "What is the child called?",
        "childWanted": "The child’s address", "month": "Month of birth", "year": "Year of birth", "makeChild": "Open the account",
        "taken": "Somebody has this address",
    },
    "fr": {
        "family": "Famille", "deliver": "Remettre, et toujours désormais", "done": "C’est fait.", "answer": "Répondre", "letter": "Ta lettre",
        "sky": "Ciel", "send": "Envoie !", "off": "C’est parti !", "new": "Je voudrais écrire à quelqu’un de nouveau",
        "ask": "Demander à mes parents", "asked": "Tes parents ont reçu ta demande", "approve": "Approuver", "write": "Écrire", "to": "À",
        "subject": "Objet", "message": "Message", "sendOut": "Envoyer", "sent": "Envoyé.", "mail": "Courrier", "openAccount": "Ouvrir un compte",
        "name": "Votre nom", "wanted": "L’adresse que vous aimeriez", "password": "Un mot de passe", "again": "Le même mot de passe encore une fois",
        "make": "Ouvrir mon compte", "free": "Cette adresse est libre.", "kept": "Je l’ai gardé", "openChild": "Ouvrir un compte pour un enfant",
        "childName": "Comment s’appelle l’enfant ?", "childWanted": "L’adresse de l’enfant", "month": "Mois de naissance", "year": "Année de naissance",
        "makeChild": "Ouvrir le compte", "taken": "Quelqu’un a cette adresse",
    },
}  # fmt: skip


def _arrived(home: Home, subject: str) -> bytes:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        for one in home.sink.taken:
            if one.token == subject:
                return one.content
        time.sleep(0.1)
    raise AssertionError(f"{subject} did not leave")


def _opens_an_account(home: Home, parent: Visitor, words: dict[str, str]) -> None:
    """Sign up: a name that is taken is said at once, and the code is shown before the mailbox."""
    page = parent.page
    page.goto(home.url)
    page.get_by_role("link", name=words["openAccount"]).click()
    page.get_by_label(words["name"]).fill("Camille Martin")
    page.get_by_label(words["wanted"]).fill("a1ice")
    page.get_by_label(words["password"], exact=True).fill(PASSWORD)
    page.get_by_text(words["taken"]).wait_for()
    page.get_by_label(words["wanted"]).fill(parent.name)
    page.get_by_label(words["again"]).fill(PASSWORD)
    page.get_by_text(words["free"]).wait_for()
    parent.shoot("open")
    page.get_by_role("button", name=words["make"]).click()
    page.locator(".code code").wait_for()
    page.get_by_role("button", name=words["kept"]).click()
    page.get_by_text(f"{parent.name}@{DOMAIN}").first.wait_for()


def _opens_a_childs_account(parent: Visitor, child: str, words: dict[str, str]) -> str:
    """Open the account; the code of the card."""
    page = parent.page
    page.get_by_role("link", name=words["family"]).click()
    page.get_by_role("link", name=words["openChild"]).click()
    page.get_by_label(words["childName"]).fill(child.title())
    page.get_by_label(words["childWanted"]).fill(child)
    page.get_by_label(words["month"]).select_option("5")
    page.get_by_label(words["year"]).fill("2017")
    page.get_by_text(words["free"]).wait_for()
    page.get_by_role(
        "heading", level=1
    ).click()  # a picture of the whole page while a number is being typed loses the next click
    parent.shoot("open-child")
    page.get_by_role("button", name=words["makeChild"]).click()
    page.locator(".code code").wait_for()
    parent.shoot("card")
    return page.locator(".code code").inner_text()


@pytest.mark.parametrize(("language", "phone"), [("fr", True), ("en", False)], ids=["fr-phone", "en-desktop"])
def test_a_letter_waits_is_let_in_read_and_answered(home: Home, visit: Visit, language: str, phone: bool) -> None:
    words = WORDS[language]
    sender, subject = f"gran-{language}@else.example", f"Cookies {language}"
    alice = visit(f"camille.{language}", language=language, phone=phone)
    page = alice.page
    _opens_an_account(home, alice, words)
    child = f"lou.{language}"
    card = _opens_a_childs_account(alice, child, words)
    page.get_by_role("link", name=words["family"]).first.click()
    page.get_by_role("heading", name=child.title()).wait_for()
    zoe = visit(child, language=language, phone=phone, dark=phone)
    zoe.choose_password(card)
    home.stranger_writes(child, sender, subject)
    # the page says so by itself
    page.get_by_text(sender).first.wait_for()
    alice.shoot("family")
    content = page.content()
    assert subject not in content
    assert "How are you" not in content
    # and in her inbox, without a reload: who, and nothing that was written
    page.get_by_role("link", name=words["mail"]).click()
    page.locator(".list .row").first.click()
    page.frame_locator("iframe").get_by_text(sender).wait_for()
    alice.shoot("alert")
    told = page.frame_locator("iframe").locator("body").inner_text()
    assert subject not in told
    # its link leads to the child's door, once
    link = re.search(r"http://localhost:\d+/(#/family/at/\S+)", told)
    assert link is not None
    page.evaluate(f"location.hash = '{link[1]}'")
    page.get_by_role("heading", name=child.title()).wait_for()
    assert "/family/of/" in page.url
    page.get_by_role("button", name=f"{words['deliver']} ({sender})").click()
    page.get_by_text(words["done"]).wait_for()
    page = zoe.page
    page.get_by_text(subject).wait_for()
    zoe.shoot("child")
    page.get_by_role("button", name=subject).click()
    page.frame_locator("iframe").get_by_text("How are you?").wait_for()
    zoe.shoot("letter")
    page.get_by_role("button", name=words["answer"]).click()
    page.get_by_role("textbox", name=words["letter"]).fill("Fine <b>thanks</b> & you?")
    page.get_by_label(words["sky"]).check()
    zoe.shoot("answer")
    page.get_by_role("button", name=words["send"]).click()
    page.get_by_text(words["off"]).wait_for()
    left = _arrived(home, f"Re: {subject}")
    assert b"Fine &lt;b&gt;thanks" in left
    assert b"Fine <b>thanks</b> & you?" in left
    for visitor in (alice, zoe):
        assert [one for one in visitor.errors if "401" not in one] == []  # who is not signed in yet
        assert visitor.foreign == []


def test_a_child_asks_and_a_parent_approves(home: Home, visit: Visit) -> None:
    words = WORDS["en"]
    child = visit("max")
    page = child.enter()
    page.get_by_label(words["new"]).fill("pal@else.example")
    page.get_by_role("button", name=words["ask"]).click()
    page.get_by_text(words["asked"]).wait_for()
    page.get_by_text("pal@else.example: waits for your parents").wait_for()
    bob = visit("bob")
    parent = bob.enter()
    parent.get_by_role("link", name=words["family"]).click()
    parent.get_by_role("button", name=f"{words['approve']} (pal@else.example)").click()
    parent.get_by_text("approved").first.wait_for()
    page.reload()
    page.get_by_role("button", name="pal@else.example").wait_for()


def test_grown_ups_write_read_and_answer(home: Home, visit: Visit) -> None:
    words = WORDS["en"]
    alice = visit("alice")
    page = alice.enter()
    page.get_by_role("button", name=words["write"]).click()
    page.get_by_label(words["to"], exact=True).fill(f"Bob <bob@{DOMAIN}>")
    page.get_by_label(words["subject"]).fill("Dinner")
    page.get_by_label(words["message"]).fill("At eight?")
    page.get_by_role("button", name=words["sendOut"]).click()
    page.get_by_text(words["sent"]).wait_for()
    alice.shoot("mail")
    bob = visit("bob")
    page = bob.enter()
    page.get_by_text("Dinner").click()
    page.frame_locator("iframe").get_by_text("At eight?").wait_for()
    page.get_by_role("button", name=words["answer"]).click()
    assert page.get_by_label(words["to"], exact=True).input_value() == f"alice@{DOMAIN}"
    page.get_by_label(words["message"]).fill("Yes!")
    page.get_by_role("button", name=words["sendOut"]).click()
    page.get_by_text(words["sent"]).wait_for()
    # no reload: push tells
    alice.page.get_by_text("Re: Dinner").wait_for()


def test_nothing_of_a_session_is_left_after_signing_out(visit: Visit) -> None:
    alice = visit("alice")
    page = alice.enter()
    (cookie,) = [one for one in alice.context.cookies() if not one["name"].endswith("-device")]
    assert (cookie["httpOnly"], cookie["secure"], cookie["sameSite"]) == (True, True, "Strict")
    assert page.evaluate("document.cookie") == ""
    assert not any(
        cookie["value"] in str(value) for value in page.evaluate("Object.values({...localStorage, ...sessionStorage})")
    )
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Password").wait_for()
    assert [one["name"] for one in alice.context.cookies()] == ["__Host-petitbleu-device"]  # it opens nothing
    assert page.evaluate("fetch('/.well-known/jmap').then(one => one.status)") == 401


def test_a_session_that_ends_elsewhere_leads_back_to_the_door(visit: Visit) -> None:
    child = visit("zoe")
    page = child.enter()
    page.get_by_role("heading", name="Hello Zoe!").wait_for()
    assert page.evaluate("fetch('/api/session', {method: 'DELETE'}).then(one => one.status)") == 204
    page.get_by_label("I would like to write to somebody new").fill("late@else.example")
    page.get_by_role("button", name="Ask my parents").click()
    page.get_by_label("Password").wait_for()


def test_a_wrong_password_is_said_so_on_the_page(home: Home, visit: Visit) -> None:
    page = visit("alice").page
    page.goto(home.url)
    page.get_by_label("Address").fill(f"alice@{DOMAIN}")
    page.get_by_label("Password").fill("wrong")
    page.get_by_role("button", name="Sign in").click()
    page.get_by_text("The address or the password is wrong.").wait_for()


def test_what_one_person_loaded_is_not_in_the_next_ones_cache(home: Home, visit: Visit) -> None:
    home.stranger_writes("alice", "note@else.example", "Cached")
    alice = visit("alice")
    page = alice.enter()
    page.get_by_text("Cached").click()
    page.frame_locator("iframe").get_by_text("How are you?").wait_for()
    blob = page.evaluate(
        """async () => {
          const session = await (await fetch('/.well-known/jmap')).json()
          const account = session.primaryAccounts['urn:ietf:params:jmap:mail']
          const body = JSON.stringify({using: ['urn:ietf:params:jmap:core', 'urn:ietf:params:jmap:mail'], methodCalls: [
            ['Email/query', {accountId: account, filter: {subject: 'Cached'}}, '0'],
            ['Email/get', {accountId: account, '#ids': {resultOf: '0', name: 'Email/query', path: '/ids'}, properties: ['blobId']}, '1']]})
          const answer = await (await fetch(new URL(session.apiUrl).pathname, {method: 'POST', body, headers: {'content-type': 'application/json'}})).json()
          return `/jmap/download/${account}/${answer.methodResponses[1][1].list[0].blobId}/x`
        }"""
    )
    fetched = f"fetch('{blob}').then(async one => [one.status, (await one.text()).includes('How are you')])"
    assert page.evaluate(fetched) == [200, True]
    assert page.evaluate(fetched) == [200, True]
    page.get_by_role("button", name="Sign out").click()
    page.get_by_label("Password").wait_for()
    assert page.evaluate(fetched) == [401, False]


def test_a_name_turns_nothing_around_it(home: Home, visit: Visit) -> None:
    home.stranger_writes("alice", "else@else.example", "Turned", name="office@bank.org\u202e\u200b")
    page = visit("alice").enter()
    page.get_by_text("Turned").click()
    head = page.locator("article p.from")
    head.wait_for()
    assert head.inner_text().startswith("From: office@bank.org <else@else.example>")
    assert page.evaluate("[...document.querySelectorAll('article p.from bdi')].length") == 2


def test_who_looks_like_a_friend_is_let_in_for_good_by_a_second_tap(home: Home, visit: Visit) -> None:
    page = visit("bob").enter()
    page.get_by_role("link", name="Family").click()
    child = page.get_by_role("region", name="Max")
    child.get_by_label("Approve an address").fill("toto@else.example")
    child.get_by_role("button", name="Approve", exact=True).click()
    child.get_by_text("toto@else.example").first.wait_for()
    home.stranger_writes("max", "t0to@else.example", "Alike")
    child.get_by_role("button", name="Deliver, and always from now on (t0to@else.example)").click()
    child.get_by_text("This address looks like another one").wait_for()
    sure = child.get_by_role("button", name="I looked twice")
    sure.wait_for()
    assert child.get_by_text("Done.").count() == 0
    sure.click()
    child.get_by_text("Done.").wait_for()


def test_what_was_written_is_thrown_away_on_purpose_only(visit: Visit) -> None:
    page = visit("bob").enter()
    asked: list[str] = []

    def answer(dialog: Dialog) -> None:
        asked.append(dialog.message)
        (dialog.dismiss if len(asked) == 1 else dialog.accept)()

    page.on("dialog", answer)
    page.get_by_role("button", name="Write").click()
    page.get_by_label("Message").fill("Long thoughts")
    page.keyboard.press("Escape")
    assert page.get_by_label("Message").input_value() == "Long thoughts"
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    assert asked == ["Throw away what you wrote?"] * 2


def test_a_parent_lets_a_class_in_and_the_child_hears_its_teacher(home: Home, visit: Visit) -> None:
    page = visit("bob").enter()
    page.get_by_role("link", name="Family").click()
    child = page.get_by_role("region", name="Zoe")
    child.get_by_text(f"miss@{DOMAIN}").wait_for()
    child.get_by_text("not let in", exact=True).wait_for()
    child.get_by_role("button", name="Let the class in (CM2)").click()
    child.get_by_text("let in", exact=True).wait_for()
    zoe = visit("zoe").enter()
    teacher = visit("miss").enter()
    teacher.get_by_role("button", name="Write").click()
    teacher.get_by_label("To", exact=True).fill(f"zoe@{DOMAIN}")
    teacher.get_by_label("Subject").fill("Tomorrow the museum")
    teacher.get_by_label("Message").fill("Bring a coat.")
    teacher.get_by_role("button", name="Send").click()
    zoe.get_by_text("Tomorrow the museum").wait_for()
    child.get_by_role("button", name="Refuse the class (CM2)").click()
    child.get_by_text("refused", exact=True).first.wait_for()
