// Accounts that people open, their children's, and the way back by the recovery code (docs/rest.md). Nothing of it knows React.
import { Refused } from './jmap'
import { solve } from './work'

export interface How {
  domains: string[]
  passwordMinLength: number
}

export interface Opened {
  address: string
  recoveryCode: string
}

export interface NewPerson {
  name: string
  domain: string
  displayName: string
  password: string
  language: string
}

export interface NewChild {
  name: string
  domain: string
  displayName: string
  birthYear: number
  birthMonth: number
  language: string
  level: number
}

const TYPE = 'urn:petitbleu:sign-up:'
const TRIES = 3

async function asked<T>(path: string, body?: object): Promise<T> {
  const response = await fetch(path, {
    ...(body === undefined ? {} : { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
  })
  if (response.ok) return (await response.json()) as T
  let kind = ''
  try {
    kind = String(((await response.json()) as { type?: string }).type ?? '').replace(TYPE, '')
  } catch {
    // the status says enough
  }
  throw new Refused(response.status, kind)
}

export const how = () => asked<How>('/api/sign-up')

/** Whether an address may be had; why not, when it may not. */
export async function nameFault(name: string, domain: string): Promise<string> {
  const found = await asked<{ free: boolean; why?: string }>(`/api/sign-up/name?${new URLSearchParams({ name, domain })}`)
  return found.free ? '' : (found.why ?? 'closed')
}

const session = () => ({ label: navigator.userAgent.slice(0, 100), cookie: true })

/** Open an account and be in it. A challenge that was used or is over is asked for anew. */
export async function open(person: NewPerson): Promise<Opened> {
  for (let left = TRIES; ; left--) {
    const { challenge, bits } = await asked<{ challenge: string; bits: number }>('/api/sign-up/challenge', {})
    const answer = await solve(challenge, bits)
    try {
      return await asked<Opened>('/api/sign-up', { ...person, challenge, answer, ...session() })
    } catch (error) {
      if (!(error instanceof Refused && error.kind === 'challenge') || left === 1) throw error
    }
  }
}

/** Set a new password by the recovery code and be in the account; the next code. */
export async function comeBack(address: string, recoveryCode: string, password: string): Promise<string> {
  const back = await asked<{ recoveryCode: string }>('/api/recovery', { address, recoveryCode, password, ...session() })
  return back.recoveryCode
}

export const openChild = (child: NewChild) => asked<{ address: string; code: string; pending: boolean }>('/api/children', child)
