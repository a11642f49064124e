import { createContext, useContext } from 'react'
import type { Session } from './jmap'

export const SessionContext = createContext<Session | null>(null)

export function useSession(): Session {
  const found = useContext(SessionContext)
  if (found === null) throw new Error('nobody is signed in')
  return found
}
