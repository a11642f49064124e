import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import type { Child } from '../family'
import { useSpoken } from '../i18n'
import { Shown } from '../parts/Shown'
import { type ClassVoice, classes, type SchoolClass, sayOfClass } from '../schools'
import { useSession } from '../session'
import { CLASSES } from './FamilyClasses.texts'

/** The classes that a school put a child in: a guardian lets each in, or does not. */
export function FamilyClasses({ child }: { child: Child }) {
  const { t, language, date } = useSpoken()
  const w = CLASSES[language]
  const session = useSession()
  const client = useQueryClient()
  const [said, setSaid] = useState('')
  const found = useQuery({ queryKey: ['classes', child.id], queryFn: () => classes(session, child.id) })
  const saying = useMutation({
    mutationFn: ({ one, action }: { one: SchoolClass; action: ClassVoice }) => sayOfClass(session, child.id, one.id, action),
    onSuccess: (waits) => {
      setSaid(waits ? t.putOff(date(waits)) : t.decided)
      void client.invalidateQueries()
    },
    onError: () => setSaid(t.failed),
  })
  if (!found.data?.length) return null
  const button = (one: SchoolClass, action: ClassVoice, text: string) => (
    <button type="button" className={action === 'approve' ? 'first' : ''} disabled={saying.isPending} onClick={() => saying.mutate({ one, action })}>
      {text}
      <span className="hidden"> ({one.name})</span>
    </button>
  )
  return (
    <div>
      <h3>{w.title}</h3>
      <p>{w.why}</p>
      <p role="status" className="said">
        {said}
      </p>
      <ul className="plain">
        {found.data.map((one) => (
          <li key={one.id} className="sender">
            <strong>
              <Shown text={one.name} />
            </strong>
            <span>{w.who(one.children, date(one.endsAt))}</span>
            <span>
              {w.teachers}{' '}
              {one.teacherAddresses.map((address, at) => (
                <span key={address}>
                  {at ? ', ' : ''}
                  <Shown text={address} />
                </span>
              ))}
            </span>
            <span className={one.isApproved ? 'good' : one.isRefused ? 'bad' : 'quiet'}>{one.isApproved ? w.open : one.isRefused ? w.refused : w.closed}</span>
            <span className="tools">
              {one.isApproved || one.isRefused ? null : button(one, 'approve', w.letIn)}
              {one.isRefused ? null : button(one, 'refuse', w.refuse)}
              {one.isApproved || one.isRefused ? button(one, 'takeBack', w.takeBack) : null}
            </span>
          </li>
        ))}
      </ul>
    </div>
  )
}
