"""Mail that machines and offices send, and what people wish each other."""

# ruff: noqa: RUF001 — letters of other scripts, and dashes, are what they are

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu_cli.demo.people import ENERGY, GARDEN, SCHOOL, SHOP, TOWN, TRAINS, WEEKLY, Person


@dataclass(frozen=True, slots=True)
class Notice:
    """A letter that comes again with another number: `{n}` is the number, `{month}` a month's name."""

    sender: Person
    subject: str
    text: str
    kind: str


MONTHS: Final = (
    "janvier", "février", "mars", "avril", "mai", "juin", "juillet", "août", "septembre", "octobre", "novembre", "décembre",
)  # fmt: skip

NOTICES: Final = (
    Notice(ENERGY, "Votre facture d'électricité de {month}",
           "Bonjour Alice Martin,\n\nVotre facture n° EC-{n} de {month} est disponible en pièce jointe.\nMontant : {amount} €, prélevé le 5 du mois prochain.\n\nVotre toit a produit {n} kWh : merci le soleil.\n\nÉnergie Coopérative", "invoice"),
    Notice(SHOP, "Votre commande n° {n} est prête",
           "Bonjour,\n\nVotre commande n° {n} vous attend au comptoir. Nous la gardons dix jours, et un café avec.\n\nLa Librairie du Canal\n12, quai des Tisserands", "receipt"),
    Notice(TRAINS, "Votre billet pour {town}, dossier {code}",
           "Bonjour,\n\nVoici votre billet pour {town}, voiture {n}, place côté fenêtre.\nPrésentez le code ci-joint au contrôle ; il fonctionne aussi imprimé, plié, ou un peu mouillé.\n\nBon voyage,\nTrains de l'Ouest", "ticket"),
    Notice(SCHOOL, "Cahier de liaison : {event}",
           "Chers parents,\n\n{event} aura lieu mardi à 16 h 45. Merci de rapporter le coupon avant vendredi, signé par l'un des deux parents.\n\nLes bottes sont bienvenues.\n\nLe secrétariat", "form"),
    Notice(TOWN, "[Mairie] {event}",
           "Madame, Monsieur,\n\n{event} : les services vous informent que la rue du Lavoir sera fermée à la circulation de 8 h à 18 h. L'accès à pied reste possible.\n\nCeci est un message automatique.", "plain"),
    Notice(WEEKLY, "Issue {n}: {topic}",
           "Hello,\n\nthis week: {topic}. Also, a reader's cure for forty open tabs (she closed the window, and opened another one, with a view).\n\nSee you in seven days, or when you like.\n\nThe Slow Web Weekly", "newsletter"),
    Notice(GARDEN, "🥕 La lettre du potager – {month}",
           "Bonjour les jardiniers,\n\nEn {month} : on paille, on arrose le soir, et on laisse un coin aux hérissons. Il reste des plants de tomates « Cœur de bœuf » près de la cabane.\n\nCorvée joyeuse samedi à 10 h, apportez vos gants.", "newsletter"),
)  # fmt: skip

TOWNS: Final = ("Saint-Malo", "La Rochelle", "Quimper", "Angers", "Nantes", "Vannes")
EVENTS: Final = (
    "Sortie à la ferme", "Réunion de rentrée", "Spectacle de fin d'année", "Photo de classe", "Fête du quartier",
    "Semaine du goût", "Travaux rue du Lavoir", "Marché de Noël",
)  # fmt: skip
TOPICS: Final = (
    "pages that load before you blink", "in praise of the hyperlink", "small servers, long lives", "writing for one reader",
    "the return of the guestbook", "who owns your address", "fonts that do not shout", "a letter a day",
)  # fmt: skip

DISCUSSION: Final = (
    "Quelqu'un connaît-il une bonne graisse pour des bons mots ? Je cherche un demi-gras qui ne fasse pas la tête à 9 points.",
    "L'espace fine insécable devant le point-virgule : combat perdu, ou seulement en pause ?",
    "Trouvé aux puces une casse parisienne presque complète. Il manque les ç. Évidemment qu'il manque les ç.",
    "Pour répondre à la question d'hier : non, l'esperluette n'est pas un animal, mais elle en a la grâce.",
    "Rappel : rencontre jeudi à l'imprimerie, on tire les cartes de vœux. Prévoyez un tablier et de la patience.",
    "Does anyone on this list set long texts in a grotesque? I tried, and my own mother stopped reading at page two.",
)

GREETINGS: Final = (
    (
        "Joyeux anniversaire 🎂🎉",
        "Joyeux anniversaire Alice !\n\nCent bougies ? Non ? Moins ? On garde le gâteau quand même.\n\nBises",
    ),
    ("お誕生日おめでとう", "アリスさん、お誕生日おめでとうございます。京都の秋は今年もきれいです。また会いましょう。"),
    ("عيد سعيد يا أليس", "عيد سعيد! نراكم قريبا إن شاء الله، والشاي جاهز."),
    ("Χρόνια πολλά", "Χρόνια πολλά Αλίκη! Ο ήλιος σου στέλνει χαιρετίσματα."),
    (
        "Bonne année — et bonne santé surtout",
        "Ma chère Alice,\n\nBonne année à vous trois. Embrasse Zoé, et dis-lui que les confitures sont prêtes.",
    ),
    (
        "Postcard",
        "Dear Alice,\n\nweather lovely, sea cold, chips excellent. Wish you were here to hold the umbrella.\n\nTom",
    ),
)
