"""What becomes of a message for each tenant among its recipients: what speaks against it, and what each of them wants done then."""

from __future__ import annotations

from typing import Final

import msgspec

from petitbleu_ingest.errors import Refusal
from petitbleu_ingest.judging.findings import Measure
from petitbleu_mail.auth.dmarc_record import Policy


class Wishes(msgspec.Struct, frozen=True):
    """What is done with mail that was found wanting: of the house, or of a tenant on top of it.

    `reject` and `quarantine` are for DMARC (RFC 9989 §5.4), `listed` for block lists in the DNS, `spam` for what a scanner rejects.
    Points are those of the built-in scorer in hundredths, from which on mail is Junk or refused; 0 never.
    """

    reject: Measure = Measure.REFUSE
    quarantine: Measure = Measure.JUNK
    listed: Measure = Measure.REFUSE
    spam: Measure = Measure.REFUSE
    junk_points: int = 0
    refuse_points: int = 0


class TenantWishes(msgspec.Struct, frozen=True):
    """What is said of a tenant; None where nothing is, and the house's wish holds."""

    reject: Measure | None = None
    quarantine: Measure | None = None
    listed: Measure | None = None
    spam: Measure | None = None
    junk_points: int | None = None
    refuse_points: int | None = None

    def over(self, house: Wishes) -> Wishes:
        """Return what holds for the tenant."""
        return Wishes(
            self.reject or house.reject,
            self.quarantine or house.quarantine,
            self.listed or house.listed,
            self.spam or house.spam,
            house.junk_points if self.junk_points is None else self.junk_points,
            house.refuse_points if self.refuse_points is None else self.refuse_points,
        )


UNSAID: Final = TenantWishes()


class Grounds(msgspec.Struct, frozen=True):
    """What speaks against a message, whoever its recipients are.

    `asked` is what the domain owner asks for where DMARC fails, `NONE` where it does not fail or a trusted forwarder speaks for it; `junk`
    and `spam` are what scanners say.
    """

    asked: Policy = Policy.NONE
    listed: bool = False
    junk: bool = False
    spam: bool = False
    points: int = 0

    @property
    def none(self) -> bool:
        """Whether there are none: then nobody's wishes matter."""
        return self == _NO_GROUNDS


_NO_GROUNDS: Final = Grounds()


class Treatment(msgspec.Struct, frozen=True):
    """What one tenant wants done with a message; `dmarc` is what it wants for the sake of DMARC alone, for the reports (RFC 9990)."""

    measure: Measure = Measure.NONE
    refusal: Refusal | None = None
    dmarc: Measure = Measure.NONE


def treatment_of(grounds: Grounds, wishes: Wishes) -> Treatment:
    """Return what follows from the grounds by the wishes."""
    dmarc = Measure.NONE
    if grounds.asked is Policy.REJECT:
        dmarc = wishes.reject
    elif grounds.asked is Policy.QUARANTINE:
        dmarc = wishes.quarantine
    listed = wishes.listed if grounds.listed else Measure.NONE
    if dmarc is Measure.REFUSE:
        return Treatment(Measure.REFUSE, Refusal.DMARC, dmarc)
    if (grounds.spam and wishes.spam is Measure.REFUSE) or 0 < wishes.refuse_points <= grounds.points:
        return Treatment(Measure.REFUSE, Refusal.SPAM, dmarc)
    if listed is Measure.REFUSE:
        return Treatment(Measure.REFUSE, Refusal.LISTED, dmarc)
    is_junk = (
        Measure.JUNK in {dmarc, listed}
        or grounds.junk
        or (grounds.spam and wishes.spam is Measure.JUNK)
        or 0 < wishes.junk_points <= grounds.points
    )
    return Treatment(Measure.JUNK if is_junk else Measure.NONE, None, dmarc)


# The first of them is told where several hold
_ORDER: Final = (
    Refusal.DMARC, Refusal.VIRUS, Refusal.VIRUS_SUBMITTED, Refusal.SPAM, Refusal.NOT_SCANNED, Refusal.LATER, Refusal.LISTED,
)  # fmt: skip


def common_refusal(treatments: list[Treatment], general: Refusal | None) -> Refusal | None:
    """Return what a message is refused for: what holds for everybody, or what its recipients all want, each for its own reason.

    A message that only some want refused is taken: its final dot has one answer for all (RFC 5321 §4.1.1.4).
    """
    wanted = [one.refusal for one in treatments]
    found = {general} if None in wanted else {general, *wanted}
    return next((one for one in _ORDER if one in found), None)


def junk_numbers(treatments: list[Treatment]) -> tuple[int, ...]:
    """Return the numbers of the recipients for whom a message that is taken goes to Junk.

    Those who want it refused are among them: after the 250 there is no refusal, and what is not wanted is not lost either.
    """
    return tuple([number for number, one in enumerate(treatments) if one.measure is not Measure.NONE])
