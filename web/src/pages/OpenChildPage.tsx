import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useId, useState } from 'react'
import { Link } from 'wouter'
import { useSpoken } from '../i18n'
import { Refused } from '../jmap'
import * as opening from '../opening'
import { CodeCard } from '../parts/CodeCard'
import { Field } from '../parts/Field'
import { NameField } from '../parts/NameField'
import { useSession } from '../session'
import { OPENING } from './Opening.texts'

const OLDEST = 17

/** An adult opens the account of its child; the child gets a card with which it chooses its password. */
export default function OpenChildPage() {
  const { t, language } = useSpoken()
  const w = OPENING[language]
  const id = useId()
  const client = useQueryClient()
  const session = useSession()
  const own = session.username.split('@')[1] ?? ''
  const how = useQuery({ queryKey: ['sign-up'], queryFn: opening.how, staleTime: 60_000 })
  const [wrong, setWrong] = useState('')
  const making = useMutation({
    mutationFn: async (child: opening.NewChild) => ({ ...(await opening.openChild(child)), displayName: child.displayName }),
    onSuccess: () => client.invalidateQueries({ queryKey: ['children'] }),
    onError: (error) => {
      const kind = error instanceof Refused ? error.kind : ''
      setWrong(error instanceof Refused && error.status === 429 ? t.tooMany : (w.faults[kind] ?? t.failed))
    },
  })
  if (making.data) {
    return (
      <div className="family">
        <h1>{w.childReady(making.data.displayName)}</h1>
        {making.data.pending ? <p>{w.childPending}</p> : null}
        <CodeCard address={making.data.address} code={making.data.code} lead={w.card} />
        <p className="no-print">
          <Link href="/family">{t.family}</Link>
        </p>
      </div>
    )
  }
  const year = new Date().getFullYear()
  // the domain of the guardian first: a child of another's may be refused
  const domains = [...(how.data?.domains ?? [])].sort((one, other) => Number(other === own) - Number(one === own))
  return (
    <div className="family">
      <h1>{w.openChild}</h1>
      <p>{w.childLead}</p>
      {how.data && domains.length === 0 ? <p role="status">{w.closed}</p> : null}
      {domains.length ? (
        <form
          className="card"
          onSubmit={(event) => {
            event.preventDefault()
            const form = new FormData(event.currentTarget)
            setWrong('')
            making.mutate({
              name: String(form.get('name')),
              domain: String(form.get('domain')),
              displayName: String(form.get('shown')),
              birthYear: Number(form.get('year')),
              birthMonth: Number(form.get('month')),
              language,
              level: Number(form.get('level')),
            })
          }}
        >
          <Field label={w.childName} name="shown" autoComplete="off" maxLength={200} required />
          <NameField label={w.childWanted} domains={domains} />
          <div className="line">
            <div className="field">
              <label htmlFor={`${id}-month`}>{w.month}</label>
              <select id={`${id}-month`} name="month" required defaultValue="">
                <option value="" disabled />
                {w.months.map((month, at) => (
                  <option key={month} value={at + 1}>
                    {month}
                  </option>
                ))}
              </select>
            </div>
            <Field label={w.year} name="year" type="number" min={year - OLDEST - 1} max={year} required />
          </div>
          <div className="field">
            <label htmlFor={`${id}-level`}>{w.level}</label>
            <select id={`${id}-level`} name="level" defaultValue="0">
              <option value="0">{w.suggested}</option>
              {t.levels.map((level, at) => (
                <option key={level} value={at + 1}>
                  {at + 1}. {level}
                </option>
              ))}
            </select>
          </div>
          <p role="alert" className="wrong">
            {wrong}
          </p>
          <button type="submit" className="first" disabled={making.isPending}>
            {w.makeChild}
          </button>
        </form>
      ) : null}
      <p>
        <Link href="/family">{t.family}</Link>
      </p>
    </div>
  )
}
