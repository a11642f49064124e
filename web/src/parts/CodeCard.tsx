import { useQueryClient } from '@tanstack/react-query'
import { useLocation } from 'wouter'
import { useSpoken } from '../i18n'
import { OPENING } from '../pages/Opening.texts'

/** A code that is shown once, to be printed or written down. */
export function CodeCard({ address, code, lead }: { address: string; code: string; lead: string }) {
  const { language } = useSpoken()
  const w = OPENING[language]
  return (
    <section className="card code-card" aria-label={w.code}>
      <p>{lead}</p>
      <p className="quiet">{address}</p>
      <p className="code">
        <code>{code}</code>
      </p>
      <button type="button" className="no-print" onClick={() => window.print()}>
        {w.print}
      </button>
    </section>
  )
}

/** The page between the door and the mailbox: the code is kept first. */
export function KeepCode({ title, address, code, lead }: { title: string; address: string; code: string; lead: string }) {
  const { language } = useSpoken()
  const client = useQueryClient()
  const [, go] = useLocation()
  return (
    <main className="door">
      <h1>{title}</h1>
      <CodeCard address={address} code={code} lead={lead} />
      <button
        type="button"
        className="first no-print"
        onClick={() => {
          go('/mail')
          void client.invalidateQueries()
        }}
      >
        {OPENING[language].enter}
      </button>
    </main>
  )
}
