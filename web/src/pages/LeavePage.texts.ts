// Texts of the page between a letter and another site, in a child's words.
const en = {
  title: 'This link leads out of your mail',
  lead: 'Somebody put this link in a letter. It leads to this place:',
  look: 'Look at the thick letters: that is the name of the place. Is it really where you want to go?',
  ask: 'If you are not sure, ask your parents first. A place out there may not be meant for children, and may want to know things about you.',
  leadsOn: 'Careful: this address has another one inside. You may end up somewhere else.',
  foreign: 'Careful: “xn--” in the name means that it has letters that may look like others.',
  plain: 'Careful: what you read and write there can be seen on the way (the address begins with http, not https).',
  go: 'Go there',
  stay: 'Stay here',
  refused: 'This link cannot be opened',
  refusedLead: 'It is no address of a place on the web, or it hides where it leads.',
}

const fr: typeof en = {
  title: 'Ce lien sort de ton courrier',
  lead: 'Quelqu’un a mis ce lien dans une lettre. Il mène à cet endroit :',
  look: 'Regarde les lettres en gras : c’est le nom de l’endroit. Est-ce vraiment là que tu veux aller ?',
  ask: 'Si tu n’es pas sûr, demande d’abord à tes parents. Un endroit de dehors n’est peut-être pas fait pour les enfants, et voudra peut-être savoir des choses sur toi.',
  leadsOn: 'Attention : cette adresse en cache une autre. Tu pourrais arriver ailleurs.',
  foreign: 'Attention : « xn-- » dans le nom veut dire qu’il a des lettres qui peuvent ressembler à d’autres.',
  plain: 'Attention : ce que tu lis et écris là-bas peut être vu en chemin (l’adresse commence par http, pas https).',
  go: 'Y aller',
  stay: 'Rester ici',
  refused: 'Ce lien ne peut pas être ouvert',
  refusedLead: 'Ce n’est pas l’adresse d’un endroit du web, ou elle cache où elle mène.',
}

export const LEAVING = { en, fr }
