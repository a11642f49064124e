// Mail as the pages need it, by JMAP Mail (RFC 8621).
import { call, type Json, type Session } from './jmap'

export interface Person {
  name: string | null
  email: string
}

export interface Mailbox {
  id: string
  name: string
  role: string | null
  unreadEmails: number
}

export interface Letter {
  id: string
  subject: string | null
  from: Person[] | null
  to: Person[] | null
  replyTo: Person[] | null
  receivedAt: string
  preview: string
  keywords: Record<string, boolean>
  messageId: string[] | null
  references: string[] | null
}

const PROPERTIES = ['subject', 'from', 'to', 'replyTo', 'receivedAt', 'preview', 'keywords', 'messageId', 'references']
const ORDER = ['inbox', 'drafts', 'sent', 'archive', 'junk', 'trash']

export async function mailboxes(session: Session): Promise<Mailbox[]> {
  const [found] = await call<[{ list: Mailbox[] }]>(session, [['Mailbox/get', { ids: null }]])
  const rank = (box: Mailbox) => (box.role && ORDER.includes(box.role) ? ORDER.indexOf(box.role) : ORDER.length)
  return found.list.toSorted((a, b) => rank(a) - rank(b) || a.name.localeCompare(b.name))
}

/** The name under which somebody writes, empty for none. */
export async function ownName(session: Session): Promise<string> {
  const [found] = await call<[{ list: { name: string }[] }]>(session, [['Identity/get', { ids: null, properties: ['name'] }]])
  return found.list[0]?.name ?? ''
}

/** The newest 50 letters of a mailbox. */
export async function letters(session: Session, inMailbox: string): Promise<Letter[]> {
  const sort = [{ property: 'receivedAt', isAscending: false }]
  const [, found] = await call<[unknown, { list: Letter[] }]>(session, [
    ['Email/query', { filter: { inMailbox }, sort, limit: 50 }],
    ['Email/get', { '#ids': { resultOf: '0', name: 'Email/query', path: '/ids' }, properties: PROPERTIES }],
  ])
  return found.list
}

export async function update(session: Session, id: string, patch: { [key: string]: Json }): Promise<void> {
  const [done] = await call<[{ notUpdated?: Record<string, { type: string }> | null }]>(session, [['Email/set', { update: { [id]: patch } }]])
  if (done.notUpdated?.[id]) throw new Error(done.notUpdated[id].type)
}

export interface Draft {
  to: Person[]
  subject: string
  text: string
  html?: string
  answers?: Letter | undefined
}

interface Made {
  created?: Record<string, { id: string }> | null
  notCreated?: Record<string, { type: string; description?: string }> | null
}

/** Write a letter, send it and keep it under Sent: one request. */
export async function send(session: Session, draft: Draft): Promise<void> {
  const [boxes, identities] = await call<[{ list: Mailbox[] }, { list: { id: string; name: string; email: string }[] }]>(session, [
    ['Mailbox/get', { ids: null }],
    ['Identity/get', { ids: null }],
  ])
  const identity = identities.list[0]
  const box = (role: string) => boxes.list.find((one) => one.role === role)?.id
  const [drafts, sent] = [box('drafts'), box('sent')]
  if (!identity || !drafts || !sent) throw new Error('the account cannot send')
  const parent = draft.answers?.messageId?.[0]
  const bodyValues: { [key: string]: Json } = { text: { value: draft.text } }
  if (draft.html !== undefined) bodyValues.html = { value: draft.html }
  const email = {
    mailboxIds: { [drafts]: true },
    keywords: { $draft: true, $seen: true },
    from: [{ name: identity.name, email: identity.email }],
    to: draft.to.map(({ name, email }) => ({ name, email })),
    subject: draft.subject,
    ...(parent ? { inReplyTo: [parent], references: [...(draft.answers?.references ?? []), parent] } : {}),
    textBody: [{ partId: 'text', type: 'text/plain' }],
    ...(draft.html === undefined ? {} : { htmlBody: [{ partId: 'html', type: 'text/html' }] }),
    bodyValues,
  }
  const patch = { [`mailboxIds/${drafts}`]: null, [`mailboxIds/${sent}`]: true, 'keywords/$draft': null }
  const [made, submitted] = await call<[Made, Made]>(session, [
    ['Email/set', { create: { letter: email } }],
    ['EmailSubmission/set', { create: { out: { identityId: identity.id, emailId: '#letter' } }, onSuccessUpdateEmail: { '#out': patch } }],
  ])
  const refused = made.notCreated?.letter ?? submitted.notCreated?.out
  if (refused) {
    const id = made.created?.letter?.id
    if (id) await call(session, [['Email/set', { destroy: [id] }]])
    throw new Error(refused.type)
  }
}
