"""Threads of letters to Alice, as people write them."""

# ruff: noqa: RUF001 — the dash is a dash

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from petitbleu_cli.demo.people import COLLEAGUES, FRIENDS, Person


@dataclass(frozen=True, slots=True)
class Thread:
    """A conversation: its subject and what was written, in turn, by these people."""

    subject: str
    people: tuple[Person, ...]
    turns: tuple[str, ...]
    reply: str = "Re: "


ELODIE, KARIM, JEANNE, SOFIA, TOM, NOEMIE = FRIENDS
CLAIRE, JUERGEN, PRIYA, OLIVIER, AGNIESZKA = COLLEAGUES

THREADS: Final = (
    Thread(
        "Dimanche au bord de l'eau ? 🌊",
        (ELODIE, KARIM, NOEMIE),
        (
            "Coucou Alice,\n\nOn annonce 24 degrés dimanche. Pique-nique près de l'écluse, vers midi ? J'apporte la tarte aux poireaux.\n\nÉlodie",
            "J'en suis ! Je passe prendre le pain en route. Quelqu'un a encore le grand plaid ?\n\nKarim",
            "Le plaid est chez moi, il sent un peu le chien mais il est grand.\nJe viens à vélo, avec Léon.\n\nNoémie",
            "Parfait. Rendez-vous au banc vert, celui qui penche. S'il pleut, on se replie chez moi.",
        ),
    ),
    Thread(
        "La chaudière de Mamie",
        (JEANNE, KARIM),
        (
            "Ma chère Alice,\n\nLa chaudière fait de nouveau ce petit bruit de bouilloire. Le monsieur passe jeudi. Ne t'inquiète pas, j'ai mis le gros gilet.\n\nJe t'embrasse,\nMamie",
            "Alice, j'étais dans le quartier, j'ai purgé les radiateurs. Ça tient jusqu'à jeudi.\n\nKarim",
            "Le monsieur est venu : c'était la pompe. 140 euros et un café. Il n'a pas voulu de la deuxième part de gâteau, tu te rends compte.\n\nMamie",
        ),
    ),
    Thread(
        "Book club: who picks next?",
        (TOM, SOFIA),
        (
            "Hi Alice,\n\nI finished it on the train and missed my stop, so: a success. Who chooses the next one? Nothing over 300 pages, please.\n\nTom",
            "I vote for something with a lighthouse in it. There is always a lighthouse that nobody has read yet.\n\nSofia",
            "There are four lighthouse novels in the second-hand shop by the station. I bought two, to be safe.\n\nTom",
            "Two copies of the same one, I hope?",
            "...",
        ),
    ),
    Thread(
        "Kitchen plans, third attempt",
        (SOFIA,),
        (
            "Alice,\n\nthe wall behind the sink cannot move, the plumber was firm. So the table turns by ninety degrees, and you win a window seat. Drawing to follow.\n\nSofia",
            "With the drawing this time. Mind the door: it opens inwards.",
        ),
    ),
    Thread(
        "Projet Estuaire : point d'étape",
        (CLAIRE, OLIVIER, PRIYA),
        (
            "Bonjour à toutes et tous,\n\nLes trois livrables de la phase 2 sont rendus. Il reste à valider la carte des accès ; Olivier, peux-tu confirmer les cotes du quai ouest ?\n\nBien cordialement,\nClaire Fontaine",
            "Bonjour,\n\nLe quai ouest est à 4,62 m, relevé de mardi. L'écart avec l'ancien plan vient du repère, pas du quai.\n\nOlivier",
            "Thank you both. I have put 4.62 in the model; the flood line now passes south of the kiosk, which should please the kiosk.\n\nPriya",
            "Merci Priya. Je mets à jour le dossier et je le transmets à la mairie vendredi avant midi.\n\nClaire",
        ),
    ),
    Thread(
        "Angebot Fräsmaschine – Rückfrage",
        (JUERGEN,),
        (
            "Sehr geehrte Frau Martin,\n\nvielen Dank für Ihre Anfrage. Die Maschine ist ab KW 38 lieferbar, die Absaugung müssten wir gesondert anbieten. Benötigen Sie 230 oder 400 Volt?\n\nMit freundlichen Grüßen\nJürgen Weiß",
            "Guten Tag Frau Martin,\n\n400 Volt ist notiert. Das Angebot gilt bis Monatsende; die Prüfung vor Ort ist im Preis enthalten.\n\nJürgen Weiß",
        ),
        "AW: ",
    ),
    Thread(
        "Release notes for the harbour map",
        (PRIYA, AGNIESZKA),
        (
            "Alice, could you read the notes below before noon? I am least sure about the second one.\n\n- The tide layer loads in one go.\n- Depths are in metres, also for those who asked for fathoms.\n- The ferry no longer sails over the car park.",
            "The second is fine. I would miss the third: perhaps we keep it as a hidden feature?\n\nAgnieszka",
            "Tempting. Shipped without. Thanks both!",
        ),
    ),
    Thread(
        "Zdjęcia z Gdańska 📷",
        (AGNIESZKA,),
        (
            "Cześć Alice!\n\nObiecane zdjęcia z portu. Najładniejsze zrobiła moja córka, oczywiście.\n\nPozdrawiam,\nAgnieszka",
        ),
    ),
    Thread(
        "Covoiturage de la semaine",
        (OLIVIER, CLAIRE),
        (
            "Bonjour,\n\nJe prends la voiture lundi, mardi et jeudi. Départ 7 h 50 devant la boulangerie. Trois places.\n\nOlivier",
            "Lundi et jeudi pour moi, merci Olivier. Mardi je reste à la maison avec un enfant à pois rouges.",
            "Bon courage pour les pois. Alice, je te garde la place de devant lundi ?",
        ),
    ),
    Thread(
        "Recette des cannelés",
        (NOEMIE, JEANNE),
        (
            "Alice, tu avais promis la recette ! La tienne, pas celle du paquet de rhum.\n\nNoémie",
            "Ma petite, la recette est de moi : un demi-litre de lait, deux œufs et deux jaunes, 100 g de farine, 250 g de sucre, une gousse de vanille, et du rhum, mais pas autant que ta tante.\nVingt-quatre heures au frais. VINGT-QUATRE.\n\nMamie Jeanne",
            "J'ai tenu dix-huit heures. Ils sont très bons quand même, ne lui dites rien.",
        ),
    ),
    Thread(
        "piano",
        (KARIM,),
        (
            "le piano est accordé. enfin, presque. le la grave fait encore sa tête\n\nk",
            "et le voisin a tapé au mur pour demander un rappel. véridique",
        ),
    ),
    Thread(
        "Garder Moustache pendant les vacances 🐈",
        (ELODIE, NOEMIE),
        (
            "Alice, tu pourrais nourrir Moustache du 12 au 19 ? Il mange peu et juge beaucoup.\n\nÉlodie",
            "Je peux prendre le week-end si ça t'arrange, Alice. Il m'aime bien depuis l'histoire de la sardine.\n\nNoémie",
            "Vous êtes des anges. Les clés sont chez la fleuriste, le mode d'emploi du chat est sur le frigo.",
        ),
    ),
)
