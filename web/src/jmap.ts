// A small JMAP client (RFC 8620): one origin, the session's cookie, method calls in batches.

export const FAMILY = 'urn:uuid:e91ff085-bb45-4d10-a459-fa4eed8e0217'
const USING = ['urn:ietf:params:jmap:core', 'urn:ietf:params:jmap:mail', 'urn:ietf:params:jmap:submission', FAMILY]

export type Json = null | boolean | number | string | Json[] | { [key: string]: Json | undefined }
export type Call = [method: string, args: { [key: string]: Json | undefined }]

export interface Session {
  username: string
  accountId: string
  isChild: boolean
  apiPath: string
  eventPath: string
}

export class Refused extends Error {
  constructor(
    readonly status: number,
    readonly kind = '',
    detail = '',
  ) {
    super(detail || kind || `HTTP ${status}`)
  }
}

const json = { 'content-type': 'application/json' }

async function answered(response: Response): Promise<Response> {
  if (response.ok) return response
  let detail = ''
  try {
    detail = ((await response.json()) as { detail?: string }).detail ?? ''
  } catch {
    // an answer without problem details says enough by its status
  }
  throw new Refused(response.status, '', detail)
}

function basic(login: string, password: string): string {
  const octets = new TextEncoder().encode(`${login}:${password}`)
  return `Basic ${btoa(Array.from(octets, (octet) => String.fromCharCode(octet)).join(''))}`
}

/** Make a session: the browser keeps its token where no script can read it. */
export async function signIn(login: string, password: string): Promise<void> {
  const body = JSON.stringify({ label: navigator.userAgent.slice(0, 100), cookie: true })
  await answered(await fetch('/api/session', { method: 'POST', headers: { ...json, authorization: basic(login, password) }, body }))
}

export async function signOut(): Promise<void> {
  await answered(await fetch('/api/session', { method: 'DELETE' }))
}

/** Read the session object (RFC 8620 §2); null when nobody is signed in. */
export async function readSession(): Promise<Session | null> {
  const response = await fetch('/.well-known/jmap')
  if (response.status === 401) return null
  const found = await (await answered(response)).json()
  const accountId: string = found.primaryAccounts['urn:ietf:params:jmap:mail']
  const path = (url: string) => new URL(url.replace(/\{[^}]*\}/g, '')).pathname
  return {
    username: found.username,
    accountId,
    isChild: found.accounts[accountId].accountCapabilities[FAMILY]?.isChild === true,
    apiPath: path(found.apiUrl),
    eventPath: path(found.eventSourceUrl),
  }
}

/** Make method calls in one request; each answer in its place. A method's error is thrown (RFC 8620 §3.6.2). */
export async function call<T extends unknown[]>(session: Session, calls: Call[]): Promise<T> {
  const methodCalls = calls.map(([method, args], at) => [method, { accountId: session.accountId, ...args }, String(at)])
  const body = JSON.stringify({ using: USING, methodCalls })
  const response = await answered(await fetch(session.apiPath, { method: 'POST', headers: json, body }))
  const { methodResponses } = (await response.json()) as { methodResponses: [string, Record<string, unknown>, string][] }
  // a call may have a second answer (RFC 8620 §3.3): the first is its own
  const found = calls.map((_, at) => methodResponses.find(([, , id]) => id === String(at)))
  for (const one of found) {
    if (one?.[0] === 'error') throw new Refused(200, String(one[1].type), String(one[1].description ?? ''))
  }
  return found.map((one) => one?.[1]) as T
}

const AGAIN_FIRST = 2_000
const AGAIN_MOST = 60_000

/** Hear of changes (RFC 8620 §7.3) for as long as the page is open. A browser connects again after a break, but not after a refusal: we do. */
export function listen(session: Session, changed: () => void): () => void {
  let source: EventSource
  let timer = 0
  let pause = AGAIN_FIRST
  function open() {
    source = new EventSource(`${session.eventPath}?types=*&closeafter=no&ping=60`)
    source.addEventListener('state', changed)
    source.addEventListener('open', () => {
      pause = AGAIN_FIRST
    })
    source.addEventListener('error', () => {
      if (source.readyState !== EventSource.CLOSED) return
      timer = window.setTimeout(() => {
        changed() // what was missed meanwhile; it also shows that the session is over, if it is
        open()
      }, pause)
      pause = Math.min(pause * 2, AGAIN_MOST)
    })
  }
  open()
  return () => {
    window.clearTimeout(timer)
    source.close()
  }
}
