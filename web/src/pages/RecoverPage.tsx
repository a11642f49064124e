import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { useSpoken } from '../i18n'
import { Refused } from '../jmap'
import * as opening from '../opening'
import { KeepCode } from '../parts/CodeCard'
import { Field } from '../parts/Field'
import { OPENING } from './Opening.texts'

/** Choose a new password by the recovery code, or a child its first one by the card. */
export default function RecoverPage() {
  const { t, language } = useSpoken()
  const w = OPENING[language]
  const how = useQuery({ queryKey: ['sign-up'], queryFn: opening.how, staleTime: 60_000 })
  const [wrong, setWrong] = useState('')
  const coming = useMutation({
    mutationFn: async ({ address, code, password }: { address: string; code: string; password: string }) => ({
      address,
      code: await opening.comeBack(address, code, password),
    }),
    onError: (error) => {
      const kind = error instanceof Refused ? error.kind : ''
      setWrong(error instanceof Refused && error.status === 429 ? t.tooMany : (w.faults[kind] ?? t.failed))
    },
  })
  if (coming.data) {
    return <KeepCode title={w.code} address={coming.data.address} code={coming.data.code} lead={w.nextCode} />
  }
  return (
    <main className="door">
      <h1>{w.recover}</h1>
      <p>{w.recoverLead}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          const form = new FormData(event.currentTarget)
          setWrong('')
          coming.mutate({ address: String(form.get('address')).trim(), code: String(form.get('code')), password: String(form.get('password')) })
        }}
      >
        <Field label={w.address} name="address" type="email" autoComplete="username" required />
        <Field label={w.code} name="code" autoComplete="off" autoCapitalize="none" spellCheck={false} maxLength={64} required />
        <Field label={w.newPassword} name="password" type="password" autoComplete="new-password" minLength={how.data?.passwordMinLength ?? 8} required />
        <p className="quiet">{w.least(how.data?.passwordMinLength ?? 8)}</p>
        <p role="alert" className="wrong">
          {wrong}
        </p>
        <button type="submit" className="first" disabled={coming.isPending}>
          {w.recoverIt}
        </button>
      </form>
      <p>
        <Link href="/">{w.back}</Link>
      </p>
    </main>
  )
}
