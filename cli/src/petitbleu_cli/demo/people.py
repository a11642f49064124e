"""Who lives in the demo tenant, and who writes to Alice."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True, slots=True)
class Person:
    """A name and an address; outside the demo domain all are in domains reserved for examples (RFC 2606 §2, §3)."""

    name: str
    address: str

    @property
    def first_name(self) -> str:
        """The name that friends use."""
        return self.name.split(" ")[0]


ALICE: Final = Person("Alice Martin", "alice@demo.test")

FRIENDS: Final = (
    Person("Élodie Lefèvre", "elodie.lefevre@courrier.example"),
    Person("Karim Benali", "karim.benali@poste.example"),
    Person("Mamie Jeanne", "jeanne.martin@village.example"),
    Person("Sofia Marchetti", "sofia@atelier.example"),
    Person("Tom Hughes", "tom.hughes@letters.example"),
    Person("Noémie Dubois", "noemie.dubois@courrier.example"),
)
COLLEAGUES: Final = (
    Person("Claire Fontaine", "claire.fontaine@agence-nord.example"),
    Person("Jürgen Weiß", "juergen.weiss@werkstatt.example"),
    Person("Priya Raman", "priya.raman@harbour.example"),
    Person("Olivier Le Goff", "olivier.legoff@agence-nord.example"),
    Person("Agnieszka Wójcik", "agnieszka.wojcik@pracownia.example"),
)
SCHOOL: Final = Person("École Jules-Verne", "secretariat@ecole-jules-verne.example")
TOWN: Final = Person("Mairie de Saint-Aubin", "ne-pas-repondre@mairie-saint-aubin.example")
SHOP: Final = Person("La Librairie du Canal", "commandes@librairie-du-canal.example")
ENERGY: Final = Person("Énergie Coopérative", "factures@energie-cooperative.example")
TRAINS: Final = Person("Trains de l'Ouest", "billets@trains-ouest.example")
GARDEN: Final = Person("Le Potager partagé", "lettre@potager-partage.example")
WEEKLY: Final = Person("The Slow Web Weekly", "editor@slow-web.example")
LIST: Final = Person("Typographie", "typographie@listes.example")
