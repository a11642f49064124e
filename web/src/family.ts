// Guardians and children, by the JMAP extension of docs/adr/0034.
import { call, type Session } from './jmap'

export interface Child {
  id: string
  name: string | null
  address: string | null
  level: number
  guardianIds: string[]
}

export interface WaitingSender {
  id: string
  address: string
  isConfirmed: boolean
  looksAlike: boolean
  lastAt: string
  messages: number
}

export interface Waiting {
  list: WaitingSender[]
  unannounced: number
}

export type State = 'asked' | 'added' | 'approved' | 'grouped' | 'family' | 'refused' | 'blocked'

export interface Correspondent {
  address: string
  state: State | null
  letIn: boolean
}

export interface Entry {
  doneAt: string
  actor: string
  action: string
  address: string | null
}

export interface Pending {
  id: string
  by: string
  kind: 'voice' | 'level' | 'group' | 'group-voice' | 'sender'
  about: string
  dueAt: string
}

/** When what was asked for will be done; null when it is. */
export type Waits = string | null

export type Decision = 'deliverAndApprove' | 'deliverOnce' | 'refuse' | 'block'
export type Voice = 'approve' | 'refuse' | 'block' | 'takeBack' | 'undo'

export async function children(session: Session): Promise<Child[]> {
  const [found] = await call<[{ list: Child[] }]>(session, [['GuardedChild/get', {}]])
  return found.list
}

export async function waiting(session: Session, childId: string): Promise<Waiting> {
  const [found] = await call<[Waiting]>(session, [['WaitingSender/get', { childId }]])
  return found
}

/** Use a link of an alert up; the child that it leads to. */
export async function openLink(session: Session, token: string): Promise<string> {
  const [found] = await call<[{ childId: string }]>(session, [['AlertLink/open', { token }]])
  return found.childId
}

export interface Invitation {
  id: string
  childId: string
  invitedBy: string
  address?: string
  endsAt: string
}

export interface Leaving {
  guardianId: string
  agreedBy: string
}

/** Who is invited to guard a child, and who agrees to whose leaving. */
export async function guardians(session: Session, childId: string): Promise<{ invitations: Invitation[]; leavings: Leaving[] }> {
  const [found] = await call<[{ invitations: Invitation[]; leavings: Leaving[] }]>(session, [['Guardian/get', { childId }]])
  return found
}

export async function invite(session: Session, childId: string, address: string): Promise<Waits> {
  const [done] = await call<[{ waitsUntil: Waits }]>(session, [['Guardian/invite', { childId, address }]])
  return done.waitsUntil
}

export async function withdraw(session: Session, childId: string, id: string): Promise<void> {
  await call(session, [['Guardian/withdraw', { childId, id }]])
}

export async function agreeToLeaving(session: Session, childId: string, guardianId: string): Promise<Waits> {
  const [done] = await call<[{ waitsUntil: Waits }]>(session, [['Guardian/agreeToLeaving', { childId, guardianId }]])
  return done.waitsUntil
}

export async function forgetLeaving(session: Session, childId: string, guardianId: string): Promise<void> {
  await call(session, [['Guardian/forgetLeaving', { childId, guardianId }]])
}

export async function invitations(session: Session): Promise<Invitation[]> {
  const [found] = await call<[{ list: Invitation[] }]>(session, [['GuardianInvitation/get', {}]])
  return found.list
}

export async function answerInvitation(session: Session, { childId, id }: Invitation, accept: boolean): Promise<void> {
  await call(session, [['GuardianInvitation/answer', { childId, id, accept }]])
}

export async function pending(session: Session, childId: string): Promise<Pending[]> {
  const [found] = await call<[{ list: Pending[] }]>(session, [['PendingChange/get', { childId }]])
  return found.list
}

export async function cancel(session: Session, childId: string, id: string): Promise<void> {
  await call(session, [['PendingChange/cancel', { childId, id }]])
}

/** Decide on all that waits from a sender; how many letters that moved, 0 when somebody else was first. */
export async function decide(
  session: Session,
  childId: string,
  sender: WaitingSender,
  action: Decision,
  althoughAlike: boolean,
): Promise<{ messages: number; waitsUntil: Waits }> {
  const given = { childId, id: sender.id, action, althoughAlike }
  const [done] = await call<[{ messages: number; waitsUntil: Waits }]>(session, [['WaitingSender/decide', given]])
  return done
}

export async function correspondents(session: Session, childId: string): Promise<{ level?: number; list: Correspondent[] }> {
  const [found] = await call<[{ level?: number; list: Correspondent[] }]>(session, [['Correspondent/get', { childId }]])
  return found
}

export async function say(session: Session, childId: string, address: string, action: Voice): Promise<void> {
  await call(session, [['Correspondent/say', { childId, address, action }]])
}

export async function ask(session: Session, address: string): Promise<Correspondent> {
  const [done] = await call<[{ correspondent: Correspondent }]>(session, [['Correspondent/ask', { address }]])
  return done.correspondent
}

export async function setLevel(session: Session, childId: string, level: number): Promise<void> {
  await call(session, [['GuardedChild/setLevel', { childId, level }]])
}

export async function diary(session: Session, childId: string): Promise<Entry[]> {
  const [found] = await call<[{ list: Entry[] }]>(session, [['GuardAudit/get', { childId, limit: 50 }]])
  return found.list
}
