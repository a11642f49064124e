// Every text of the app, in French and English.
import { createContext, type ReactNode, useContext, useEffect, useMemo, useState } from 'react'

const en = {
  address: 'Address', password: 'Password', signIn: 'Sign in', signOut: 'Sign out', wrong: 'The address or the password is wrong.',
  tooMany: 'Too many tries. Wait a moment.', failed: 'That did not work. Try again.', welcome: 'Your mail, and nobody else’s.',
  mail: 'Mail', family: 'Family', language: 'Français', skip: 'Skip to the content', mailboxes: 'Mailboxes', messages: 'Messages', none: 'Nothing here.',
  loading: 'One moment…', write: 'Write', reply: 'Answer', to: 'To', subject: 'Subject', text: 'Message', send: 'Send', cancel: 'Cancel', sent: 'Sent.',
  noSubject: '(no subject)', back: 'Back to the list', message: 'Message', unread: 'unread', from: 'From', delete: 'Delete', deleted: 'Moved to the trash.',
  inbox: 'Inbox', drafts: 'Drafts', sentBox: 'Sent', trash: 'Trash', junk: 'Junk', archive: 'Archive',
  familyTitle: 'Your family', noChildren: 'You guard no child here.', waiting: 'Waiting at the door', nobodyWaits: 'Nobody waits.',
  waits: (n: number) => (n === 1 ? '1 letter waits' : `${n} letters wait`), confirmed: 'The sender is confirmed.',
  unconfirmed: 'Nothing proves that it comes from there.', alike: 'This address looks like another one that you know. Look twice.',
  alikeSure: 'I looked twice: it is somebody else, and may write.', discard: 'Throw away what you wrote?',
  deliverApprove: 'Deliver, and always from now on', deliverOnce: 'Deliver this time', refuse: 'Refuse', block: 'Refuse and block',
  decided: 'Done.', tooLate: 'The other guardian was faster.', friends: 'Whom the child may write with', addFriend: 'Approve an address', approve: 'Approve',
  takeBack: 'Take back', level: 'How far the doors are open', diary: 'Who did what',
  unannounced: (n: number) => `${n} held without a word (spam, forged, refused)`,
  levels: ['The family only', 'The family and approved friends', 'Groups and classes, too, and whom the child adds', 'Newcomers who are confirmed, too'],
  states: { asked: 'asked for', added: 'added by the child', approved: 'approved', grouped: 'in a group', family: 'family', refused: 'refused', blocked: 'blocked' },
  hello: (name: string) => `Hello ${name}!`, letters: 'Your letters', noLetters: 'No letters yet. Write one!', newLetter: 'Write a letter', toWhom: 'Who is it for?',
  yourFriends: 'Your friends', askFriend: 'I would like to write to somebody new', askSend: 'Ask my parents', asked: 'Your parents have been asked. They will look soon.',
  childWaits: 'waits for your parents', paper: 'Choose your paper', papers: ['White', 'Sky', 'Meadow', 'Sunset'], letterText: 'Your letter', sendIt: 'Send it!',
  whatWaits: 'Letters from people whom your parents do not know yet wait until one of them has looked. Nobody reads your letters with your friends.',
  notAFriend: 'You cannot write to this person yet. Ask your parents first.', childSent: 'Off it goes!', putOff: (when: string) => `This is done at ${when}, because this device or the password is new. Any guardian can stop it.`, putOffTitle: 'Waits for a day',
  putOffWhy: 'Asked for from a new device or with a new password. If it was not one of you, stop it and change your password.', guardians: (n: number) => `Guardians: ${n}`, guardianNumber: (n: number) => `Guardian ${n}`, leaving: 'is to be a guardian no more, once both agree',
  agreeLeaving: 'Agree that they leave', stays: 'They stay', invitedOne: 'Invited:', invite: 'Invite a second guardian (an address here)', inviteIt: 'Invite', invited: 'You are invited to guard a child',
  invitedWhy: 'You decide who writes to the child, and never read its letters.', accept: 'I accept', decline: 'No, thank you', stop: 'Stop it', linkUsed: 'This link was used already, or is not yours. What waits is on the page of your family.', everyone: 'All your children', openAccount: 'Open an account', haveCode: 'I have a code', openChild: 'Open an account for a child', close: 'Close', you: 'you', system: 'rule',
} // prettier-ignore

type Texts = typeof en

const fr: Texts = {
  address: 'Adresse', password: 'Mot de passe', signIn: 'Se connecter', signOut: 'Se déconnecter', wrong: 'L’adresse ou le mot de passe est faux.',
  tooMany: 'Trop d’essais. Attendez un instant.', failed: 'Cela n’a pas marché. Essayez encore.', welcome: 'Votre courrier, et à personne d’autre.',
  mail: 'Courrier', family: 'Famille', language: 'English', skip: 'Aller au contenu', mailboxes: 'Dossiers', messages: 'Messages', none: 'Rien ici.',
  loading: 'Un instant…', write: 'Écrire', reply: 'Répondre', to: 'À', subject: 'Objet', text: 'Message', send: 'Envoyer', cancel: 'Annuler', sent: 'Envoyé.',
  noSubject: '(sans objet)', back: 'Retour à la liste', message: 'Message', unread: 'non lu', from: 'De', delete: 'Supprimer', deleted: 'Mis à la corbeille.',
  inbox: 'Boîte de réception', drafts: 'Brouillons', sentBox: 'Envoyés', trash: 'Corbeille', junk: 'Indésirables', archive: 'Archives',
  familyTitle: 'Votre famille', noChildren: 'Vous n’avez pas d’enfant à garder ici.', waiting: 'À la porte', nobodyWaits: 'Personne n’attend.',
  waits: (n: number) => (n === 1 ? '1 lettre attend' : `${n} lettres attendent`), confirmed: 'L’expéditeur est confirmé.',
  unconfirmed: 'Rien ne prouve que cela vient de là.', alike: 'Cette adresse ressemble à une autre que vous connaissez. Regardez bien.',
  alikeSure: 'J’ai bien regardé : c’est quelqu’un d’autre, qui peut écrire.', discard: 'Jeter ce que vous avez écrit ?',
  deliverApprove: 'Remettre, et toujours désormais', deliverOnce: 'Remettre cette fois', refuse: 'Refuser', block: 'Refuser et bloquer',
  decided: 'C’est fait.', tooLate: 'L’autre parent a été plus rapide.', friends: 'Avec qui l’enfant peut écrire', addFriend: 'Approuver une adresse', approve: 'Approuver',
  takeBack: 'Retirer', level: 'À quel point les portes sont ouvertes', diary: 'Qui a fait quoi',
  unannounced: (n: number) => `${n} retenus sans bruit (indésirables, faux, refusés)`,
  levels: ['La famille seulement', 'La famille et les amis approuvés', 'Aussi les groupes et classes, et ceux que l’enfant ajoute', 'Aussi les nouveaux venus confirmés'],
  states: { asked: 'demandé', added: 'ajouté par l’enfant', approved: 'approuvé', grouped: 'dans un groupe', family: 'famille', refused: 'refusé', blocked: 'bloqué' },
  hello: (name: string) => `Bonjour ${name} !`, letters: 'Tes lettres', noLetters: 'Pas encore de lettres. Écris-en une !', newLetter: 'Écrire une lettre', toWhom: 'C’est pour qui ?',
  yourFriends: 'Tes amis', askFriend: 'Je voudrais écrire à quelqu’un de nouveau', askSend: 'Demander à mes parents', asked: 'Tes parents ont reçu ta demande. Ils vont regarder bientôt.',
  childWaits: 'attend tes parents', paper: 'Choisis ton papier', papers: ['Blanc', 'Ciel', 'Prairie', 'Coucher de soleil'], letterText: 'Ta lettre', sendIt: 'Envoie !',
  whatWaits: 'Les lettres de gens que tes parents ne connaissent pas encore attendent que l’un d’eux ait regardé. Personne ne lit tes lettres avec tes amis.',
  notAFriend: 'Tu ne peux pas encore écrire à cette personne. Demande d’abord à tes parents.', childSent: 'C’est parti !', putOff: (when: string) => `Ce sera fait à ${when}, car cet appareil ou le mot de passe est nouveau. Chaque parent peut l’arrêter.`, putOffTitle: 'Attend un jour',
  putOffWhy: 'Demandé d’un nouvel appareil ou avec un nouveau mot de passe. Si ce n’était aucun de vous, arrêtez-le et changez de mot de passe.', guardians: (n: number) => `Parents gardiens : ${n}`, guardianNumber: (n: number) => `Parent ${n}`, leaving: 'ne sera plus gardien, une fois les deux d’accord',
  agreeLeaving: 'D’accord pour son départ', stays: 'Il reste', invitedOne: 'Invité :', invite: 'Inviter un second parent (une adresse d’ici)', inviteIt: 'Inviter', invited: 'Vous êtes invité à veiller sur un enfant',
  invitedWhy: 'Vous décidez qui écrit à l’enfant, et ne lisez jamais ses lettres.', accept: 'J’accepte', decline: 'Non, merci', stop: 'Arrêter', linkUsed: 'Ce lien a déjà servi, ou n’est pas à vous. Ce qui attend est sur la page de votre famille.', everyone: 'Tous vos enfants', openAccount: 'Ouvrir un compte', haveCode: 'J’ai un code', openChild: 'Ouvrir un compte pour un enfant', close: 'Fermer', you: 'vous', system: 'règle',
} // prettier-ignore

export type Language = 'en' | 'fr'
const ALL: Record<Language, Texts> = { en, fr }
const KEY = 'petitbleu-language'

interface Spoken {
  language: Language
  t: Texts
  change: () => void
  date: (iso: string) => string
}

const Context = createContext<Spoken | null>(null)

export function Speaking({ children }: { children: ReactNode }) {
  const [language, setLanguage] = useState<Language>(() => {
    const kept = localStorage.getItem(KEY)
    if (kept === 'en' || kept === 'fr') return kept
    return navigator.language.startsWith('fr') ? 'fr' : 'en'
  })
  useEffect(() => {
    document.documentElement.lang = language
    localStorage.setItem(KEY, language)
  }, [language])
  const spoken = useMemo<Spoken>(() => {
    const format = new Intl.DateTimeFormat(language, { dateStyle: 'medium', timeStyle: 'short' })
    return { language, t: ALL[language], change: () => setLanguage(language === 'en' ? 'fr' : 'en'), date: (iso) => format.format(new Date(iso)) }
  }, [language])
  return <Context value={spoken}>{children}</Context>
}

export function useSpoken(): Spoken {
  const found = useContext(Context)
  if (found === null) throw new Error('outside of Speaking')
  return found
}
