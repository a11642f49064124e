// Classes of schools, by the JMAP extension of docs/adr/0034 and 0053.
import type { Waits } from './family'
import { call, type Session } from './jmap'

export interface SchoolClass {
  id: string
  name: string
  endsAt: string
  children: number
  teacherAddresses: string[]
  isApproved: boolean
  isRefused: boolean
}

export type ClassVoice = 'approve' | 'refuse' | 'takeBack'

/** The classes that a child is in, for its guardians. */
export async function classes(session: Session, childId: string): Promise<SchoolClass[]> {
  const [found] = await call<[{ list: SchoolClass[] }]>(session, [['SchoolClass/get', { childId }]])
  return found.list
}

export async function sayOfClass(session: Session, childId: string, id: string, action: ClassVoice): Promise<Waits> {
  const [done] = await call<[{ waitsUntil: Waits }]>(session, [['SchoolClass/say', { childId, id, action }]])
  return done.waitsUntil
}
