import { useMutation, useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { useSpoken } from '../i18n'
import { Refused } from '../jmap'
import * as opening from '../opening'
import { KeepCode } from '../parts/CodeCard'
import { Field } from '../parts/Field'
import { NameField } from '../parts/NameField'
import { OPENING } from './Opening.texts'

/** Open an account: a name, an address, a password; then the code to keep. */
export default function SignUpPage() {
  const { t, language } = useSpoken()
  const w = OPENING[language]
  const how = useQuery({ queryKey: ['sign-up'], queryFn: opening.how, staleTime: 60_000 })
  const [wrong, setWrong] = useState('')
  const making = useMutation({
    mutationFn: (person: opening.NewPerson) => opening.open(person),
    onError: (error) => {
      const kind = error instanceof Refused ? error.kind : ''
      setWrong(error instanceof Refused && error.status === 429 ? t.tooMany : (w.faults[kind] ?? t.failed))
    },
  })
  if (making.data) {
    return <KeepCode title={w.ready(making.data.address)} address={making.data.address} code={making.data.recoveryCode} lead={w.codeLead} />
  }
  return (
    <main className="door">
      <h1>{w.open}</h1>
      <p>{w.openLead}</p>
      {how.data?.domains.length === 0 ? <p role="status">{w.closed}</p> : null}
      {how.data?.domains.length ? (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            const form = new FormData(event.currentTarget)
            const [password, again] = [String(form.get('password')), String(form.get('again'))]
            setWrong(password === again ? '' : w.different)
            if (password !== again) return
            making.mutate({
              name: String(form.get('name')),
              domain: String(form.get('domain')),
              displayName: String(form.get('shown')),
              password,
              language,
            })
          }}
        >
          <Field label={w.name} name="shown" autoComplete="name" maxLength={200} required />
          <NameField label={w.wanted} domains={how.data.domains} />
          <Field label={w.password} name="password" type="password" autoComplete="new-password" minLength={how.data.passwordMinLength} required aria-describedby="least" />
          <p id="least" className="quiet">
            {w.least(how.data.passwordMinLength)}
          </p>
          <Field label={w.again} name="again" type="password" autoComplete="new-password" required />
          <p role="alert" className="wrong">
            {wrong}
          </p>
          <p role="status">{making.isPending ? w.working : ''}</p>
          <button type="submit" className="first" disabled={making.isPending}>
            {w.make}
          </button>
        </form>
      ) : null}
      <p>
        <Link href="/">{w.back}</Link>
      </p>
    </main>
  )
}
