// Texts of opening accounts and of coming back, in both languages.
const en = {
  open: 'Open an account', openLead: 'A name, an address, a password. Nothing else: no telephone number, nothing resold.',
  name: 'Your name', wanted: 'The address you would like', at: 'at', password: 'A password', again: 'The same password once more',
  least: (n: number) => `At least ${n} characters. A short sentence is better than a difficult word.`,
  different: 'The two passwords are not the same.', make: 'Open my account', working: 'Your browser shows that it is no robot. A moment…', free: 'This address is free.',
  back: 'I have an account', closed: 'No accounts are opened here. Ask whoever runs this place.',
  faults: {
    'bad-name': 'An address has 2 to 40 letters a to z, digits, and single dots, hyphens or underscores between them.', reserved: 'This address is kept for an office of this place.',
    taken: 'Somebody has this address, or one that looks like it.', closed: 'No accounts are opened at this domain.', 'bad-password': 'This password is too short or too long.',
    'bad-person': 'This name cannot be kept.', challenge: 'That took too long. Try again.', answer: 'That did not work. Try again.', 'bad-child': 'A child is 0 to 17 years old.',
    refused: 'The address or the code is not right.',
  } as Record<string, string>,
  ready: (address: string) => `${address} is yours.`,
  codeLead: 'This is your recovery code. It is the only way back if you forget your password: print it or write it down now. It is shown once.',
  code: 'Recovery code', print: 'Print', enter: 'I have kept it. Go on.',
  recover: 'I have a code', recoverLead: 'With the recovery code, or the card that your parents printed for you, you choose a new password. All other devices are signed out.',
  address: 'Address', newPassword: 'A new password', recoverIt: 'Choose this password', nextCode: 'Your code has changed. This is the new one; the old one opens nothing any more.',
  openChild: 'Open an account for a child',
  childLead: 'You guard it: nobody writes to your child whom you have not let in. You do not read its letters, and you do not know its password.',
  childName: 'What is the child called?', childWanted: 'The child’s address', year: 'Year of birth', month: 'Month of birth', level: 'How far the doors are open', suggested: 'What its age suggests',
  makeChild: 'Open the account', childReady: (name: string) => `The account of ${name} is open.`, childPending: 'It will be there in a few minutes.',
  card: 'Print this card and give it to your child. With it the child chooses a password that nobody else knows. The card works once.',
  months: ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'],
} // prettier-ignore

const fr: typeof en = {
  open: 'Ouvrir un compte', openLead: 'Un nom, une adresse, un mot de passe. Rien d’autre : pas de numéro de téléphone, rien n’est revendu.',
  name: 'Votre nom', wanted: 'L’adresse que vous aimeriez', at: 'à', password: 'Un mot de passe', again: 'Le même mot de passe encore une fois',
  least: (n: number) => `Au moins ${n} caractères. Une petite phrase vaut mieux qu’un mot difficile.`,
  different: 'Les deux mots de passe ne sont pas les mêmes.', make: 'Ouvrir mon compte', working: 'Votre navigateur montre qu’il n’est pas un robot. Un instant…', free: 'Cette adresse est libre.',
  back: 'J’ai un compte', closed: 'On n’ouvre pas de compte ici. Demandez à qui tient cette maison.',
  faults: {
    'bad-name': 'Une adresse a de 2 à 40 lettres de a à z, chiffres, et entre eux des points, tirets ou tirets bas seuls.', reserved: 'Cette adresse est gardée pour un service de la maison.',
    taken: 'Quelqu’un a cette adresse, ou une qui lui ressemble.', closed: 'On n’ouvre pas de compte à ce domaine.', 'bad-password': 'Ce mot de passe est trop court ou trop long.',
    'bad-person': 'Ce nom ne peut pas être gardé.', challenge: 'C’était trop long. Essayez encore.', answer: 'Cela n’a pas marché. Essayez encore.', 'bad-child': 'Un enfant a de 0 à 17 ans.',
    refused: 'L’adresse ou le code n’est pas juste.',
  },
  ready: (address: string) => `${address} est à vous.`,
  codeLead: 'Voici votre code de secours. C’est le seul chemin du retour si vous oubliez votre mot de passe : imprimez-le ou notez-le maintenant. Il n’est montré qu’une fois.',
  code: 'Code de secours', print: 'Imprimer', enter: 'Je l’ai gardé. Continuer.',
  recover: 'J’ai un code', recoverLead: 'Avec le code de secours, ou la carte que tes parents ont imprimée pour toi, on choisit un nouveau mot de passe. Tous les autres appareils sont déconnectés.',
  address: 'Adresse', newPassword: 'Un nouveau mot de passe', recoverIt: 'Choisir ce mot de passe', nextCode: 'Le code a changé. Voici le nouveau ; l’ancien n’ouvre plus rien.',
  openChild: 'Ouvrir un compte pour un enfant',
  childLead: 'Vous veillez sur lui : personne n’écrit à votre enfant que vous n’ayez laissé entrer. Vous ne lisez pas ses lettres, et vous ne connaissez pas son mot de passe.',
  childName: 'Comment s’appelle l’enfant ?', childWanted: 'L’adresse de l’enfant', year: 'Année de naissance', month: 'Mois de naissance', level: 'À quel point les portes sont ouvertes', suggested: 'Ce que son âge propose',
  makeChild: 'Ouvrir le compte', childReady: (name: string) => `Le compte de ${name} est ouvert.`, childPending: 'Il sera là dans quelques minutes.',
  card: 'Imprimez cette carte et donnez-la à votre enfant. Avec elle, il choisit un mot de passe que personne d’autre ne connaît. La carte sert une fois.',
  months: ['Janvier', 'Février', 'Mars', 'Avril', 'Mai', 'Juin', 'Juillet', 'Août', 'Septembre', 'Octobre', 'Novembre', 'Décembre'],
} // prettier-ignore

export const OPENING = { en, fr }
