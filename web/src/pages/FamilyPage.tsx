import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Link, useParams } from 'wouter'
import * as family from '../family'
import { useSpoken } from '../i18n'
import { Refused } from '../jmap'
import { Field } from '../parts/Field'
import { Shown } from '../parts/Shown'
import { useSession } from '../session'
import { FamilyClasses } from './FamilyClasses'

// Guardians look at the door, and at who may come in; never at a letter.
export default function FamilyPage() {
  const { t } = useSpoken()
  const session = useSession()
  // a link of an alert leads to one of them
  const { child: only } = useParams<{ child?: string }>()
  const children = useQuery({ queryKey: ['children'], queryFn: () => family.children(session) })
  const shown = children.data?.filter((child) => !only || child.id === only)
  return (
    <div className="family">
      <h1>{t.familyTitle}</h1>
      {children.isError ? <p role="alert">{t.failed}</p> : null}
      {children.data?.length === 0 ? <p>{t.noChildren}</p> : null}
      <p className="tools">
        <Link href="/family/open">{t.openChild}</Link>
      </p>
      <Invitations />
      {only ? (
        <p>
          <Link href="/family">{t.everyone}</Link>
        </p>
      ) : null}
      {shown?.map((child) => (
        <ChildSection key={child.id} child={child} />
      ))}
    </div>
  )
}

function nameOf(child: family.Child): string {
  return child.name || child.address || child.id
}

function ChildSection({ child }: { child: family.Child }) {
  const id = `child-${child.id}`
  return (
    <section aria-labelledby={id} className="card">
      <h2 id={id}>{nameOf(child)}</h2>
      <p className="quiet">{child.address}</p>
      <Door child={child} />
      <PutOff child={child} />
      <Friends child={child} />
      <FamilyClasses child={child} />
      <Level child={child} />
      <Guardians child={child} />
      <Diary child={child} />
    </section>
  )
}

function Door({ child }: { child: family.Child }) {
  const { t, date } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const [said, setSaid] = useState('')
  // who looks like somebody known is let in for good by a second tap, that says so
  const [sure, setSure] = useState('')
  const found = useQuery({ queryKey: ['waiting', child.id], queryFn: () => family.waiting(session, child.id), refetchInterval: 60_000 })
  const deciding = useMutation({
    mutationFn: ({ sender, action }: { sender: family.WaitingSender; action: family.Decision }) =>
      family.decide(session, child.id, sender, action, sure === sender.id),
    onSuccess: ({ messages, waitsUntil }) => {
      setSaid(waitsUntil ? t.putOff(date(waitsUntil)) : messages ? t.decided : t.tooLate)
      void client.invalidateQueries()
    },
    onError: (error, { sender, action }) => {
      // of who is not confirmed the list does not say it, and junior-guard refuses the first time
      const alike = error instanceof Refused && error.kind === 'forbidden' && action === 'deliverAndApprove' && sure !== sender.id
      if (alike) setSure(sender.id)
      setSaid(alike ? t.alike : t.failed)
    },
  })
  const actions: [family.Decision, string][] = [
    ['deliverAndApprove', t.deliverApprove],
    ['deliverOnce', t.deliverOnce],
    ['refuse', t.refuse],
    ['block', t.block],
  ]
  return (
    <div>
      <h3>{t.waiting}</h3>
      <p role="status" className="said">
        {said}
      </p>
      {found.data?.list.length === 0 ? <p>{t.nobodyWaits}</p> : null}
      <ul className="plain">
        {found.data?.list.map((sender) => (
          <li key={sender.id} className="sender">
            <strong>
              <Shown text={sender.address} />
            </strong>
            <span>
              {t.waits(sender.messages)} · <time dateTime={sender.lastAt}>{date(sender.lastAt)}</time>
            </span>
            <span className={sender.isConfirmed ? 'good' : 'bad'}>{sender.isConfirmed ? t.confirmed : t.unconfirmed}</span>
            {sender.looksAlike ? <span className="bad">{t.alike}</span> : null}
            <span className="tools">
              {actions.map(([action, text]) => (
                <button
                  key={action}
                  type="button"
                  className={action === 'deliverAndApprove' ? 'first' : ''}
                  disabled={deciding.isPending}
                  onClick={() => {
                    if (action === 'deliverAndApprove' && sender.looksAlike && sure !== sender.id) setSure(sender.id)
                    else deciding.mutate({ sender, action })
                  }}
                >
                  {action === 'deliverAndApprove' && sure === sender.id ? t.alikeSure : text}
                  <span className="hidden"> ({sender.address})</span>
                </button>
              ))}
            </span>
          </li>
        ))}
      </ul>
      {found.data?.unannounced ? <p className="quiet">{t.unannounced(found.data.unannounced)}</p> : null}
    </div>
  )
}

/** What was asked for by a new password or from a new device: any guardian stops it. */
function PutOff({ child }: { child: family.Child }) {
  const { t, date } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const found = useQuery({ queryKey: ['pending', child.id], queryFn: () => family.pending(session, child.id) })
  const stopping = useMutation({
    mutationFn: (id: string) => family.cancel(session, child.id, id),
    onSettled: () => client.invalidateQueries({ queryKey: ['pending', child.id] }),
  })
  if (!found.data?.length) return null
  return (
    <div>
      <h3>{t.putOffTitle}</h3>
      <p>{t.putOffWhy}</p>
      <ul className="plain">
        {found.data.map((one) => (
          <li key={one.id} className="friend">
            <span>
              {one.kind === 'level' ? `${t.level}: ` : ''}
              <Shown text={one.about} /> · <time dateTime={one.dueAt}>{date(one.dueAt)}</time>
            </span>
            <span className="tools">
              <Say text={t.stop} of={one.about} onSay={() => stopping.mutate(one.id)} />
            </span>
          </li>
        ))}
      </ul>
      <p role="alert" className="wrong">
        {stopping.isError ? t.failed : ''}
      </p>
    </div>
  )
}

function Friends({ child }: { child: family.Child }) {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const found = useQuery({ queryKey: ['correspondents', child.id], queryFn: () => family.correspondents(session, child.id) })
  const saying = useMutation({
    mutationFn: ({ address, action }: { address: string; action: family.Voice }) => family.say(session, child.id, address, action),
    onSuccess: () => client.invalidateQueries(),
  })
  return (
    <div>
      <h3>{t.friends}</h3>
      <ul className="plain">
        {found.data?.list.map((one) => (
          <li key={one.address} className="friend">
            <span>
              <Shown text={one.address} />
            </span>
            <span className={one.letIn ? 'good' : 'quiet'}>{one.state ? t.states[one.state] : ''}</span>
            {one.state === 'family' ? null : (
              <span className="tools">
                {one.state === 'approved' ? null : <Say text={t.approve} of={one.address} onSay={() => saying.mutate({ address: one.address, action: 'approve' })} />}
                {one.state === 'refused' || one.state === 'blocked' ? (
                  <Say text={t.takeBack} of={one.address} onSay={() => saying.mutate({ address: one.address, action: 'takeBack' })} />
                ) : (
                  <Say text={t.refuse} of={one.address} onSay={() => saying.mutate({ address: one.address, action: 'refuse' })} />
                )}
              </span>
            )}
          </li>
        ))}
      </ul>
      <form
        className="line"
        onSubmit={(event) => {
          event.preventDefault()
          const form = event.currentTarget
          saying.mutate({ address: String(new FormData(form).get('address')), action: 'approve' }, { onSuccess: () => form.reset() })
        }}
      >
        <Field label={t.addFriend} name="address" type="email" required autoComplete="off" />
        <button type="submit">{t.approve}</button>
      </form>
      <p role="alert" className="wrong">
        {saying.isError ? t.failed : ''}
      </p>
    </div>
  )
}

function Say({ text, of, onSay }: { text: string; of: string; onSay: () => void }) {
  return (
    <button type="button" onClick={onSay}>
      {text}
      <span className="hidden"> ({of})</span>
    </button>
  )
}

function Level({ child }: { child: family.Child }) {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const moving = useMutation({
    mutationFn: (level: number) => family.setLevel(session, child.id, level),
    onSettled: () => client.invalidateQueries({ queryKey: ['children'] }),
  })
  return (
    <fieldset>
      <legend>{t.level}</legend>
      {t.levels.map((text, at) => (
        <label key={text} className="choice">
          <input type="radio" name={`level-${child.id}`} checked={child.level === at + 1} onChange={() => moving.mutate(at + 1)} />
          {at + 1}. {text}
        </label>
      ))}
    </fieldset>
  )
}

/** One's own invitations to guard a child. */
function Invitations() {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const found = useQuery({ queryKey: ['invitations'], queryFn: () => family.invitations(session) })
  const answering = useMutation({
    mutationFn: ({ one, accept }: { one: family.Invitation; accept: boolean }) => family.answerInvitation(session, one, accept),
    onSettled: () => client.invalidateQueries(),
  })
  if (!found.data?.length) return null
  return (
    <section className="card" aria-labelledby="invitations">
      <h2 id="invitations">{t.invited}</h2>
      <p>{t.invitedWhy}</p>
      {found.data.map((one) => (
        <p key={one.id} className="tools">
          <button type="button" className="first" onClick={() => answering.mutate({ one, accept: true })}>
            {t.accept}
          </button>
          <button type="button" onClick={() => answering.mutate({ one, accept: false })}>
            {t.decline}
          </button>
        </p>
      ))}
      <p role="alert" className="wrong">
        {answering.isError ? t.failed : ''}
      </p>
    </section>
  )
}

function Guardians({ child }: { child: family.Child }) {
  const { t, date } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const [said, setSaid] = useState('')
  const found = useQuery({ queryKey: ['guardians', child.id], queryFn: () => family.guardians(session, child.id) })
  const changing = useMutation({
    mutationFn: (work: () => Promise<family.Waits | undefined>) => work(),
    onSuccess: (waits) => {
      setSaid(waits ? t.putOff(date(waits)) : t.decided)
      void client.invalidateQueries()
    },
    onError: () => setSaid(t.failed),
  })
  const leavings = found.data?.leavings ?? []
  return (
    <details>
      <summary>{t.guardians(child.guardianIds.length)}</summary>
      <p role="status" className="said">
        {said}
      </p>
      <ul className="plain">
        {child.guardianIds.map((guardian, at) => {
          const agreed = leavings.filter((one) => one.guardianId === guardian)
          const name = guardian === session.accountId ? t.you : t.guardianNumber(at + 1)
          return (
            <li key={guardian} className="friend">
              <span>{name}</span>
              {agreed.length ? <span className="bad">{t.leaving}</span> : null}
              {child.guardianIds.length > 1 ? (
                <span className="tools">
                  {agreed.some((one) => one.agreedBy === session.accountId) ? null : (
                    <Say text={t.agreeLeaving} of={name} onSay={() => changing.mutate(() => family.agreeToLeaving(session, child.id, guardian))} />
                  )}
                  {agreed.length ? (
                    <Say text={t.stays} of={name} onSay={() => changing.mutate(() => family.forgetLeaving(session, child.id, guardian).then(() => undefined))} />
                  ) : null}
                </span>
              ) : null}
            </li>
          )
        })}
        {found.data?.invitations.map((one) => (
          <li key={one.id} className="friend">
            <span>
              {t.invitedOne} <Shown text={one.address} />
            </span>
            <span className="tools">
              <Say text={t.takeBack} of={one.address ?? ''} onSay={() => changing.mutate(() => family.withdraw(session, child.id, one.id).then(() => undefined))} />
            </span>
          </li>
        ))}
      </ul>
      <form
        className="line"
        onSubmit={(event) => {
          event.preventDefault()
          const form = event.currentTarget
          const address = String(new FormData(form).get('address'))
          changing.mutate(() => family.invite(session, child.id, address), { onSuccess: () => form.reset() })
        }}
      >
        <Field label={t.invite} name="address" type="email" required autoComplete="off" />
        <button type="submit">{t.inviteIt}</button>
      </form>
    </details>
  )
}

function Diary({ child }: { child: family.Child }) {
  const { t, date } = useSpoken()
  const session = useSession()
  const found = useQuery({ queryKey: ['diary', child.id], queryFn: () => family.diary(session, child.id) })
  const who = (actor: string) => (actor === session.accountId ? t.you : actor === 'rule' ? t.system : actor)
  return (
    <details>
      <summary>{t.diary}</summary>
      <ul className="plain diary">
        {found.data?.map((entry) => (
          <li key={`${entry.doneAt}${entry.actor}${entry.action}${entry.address}`}>
            <time dateTime={entry.doneAt}>{date(entry.doneAt)}</time> · {who(entry.actor)} · {entry.action}
            {entry.address ? ` · ${entry.address}` : ''}
          </li>
        ))}
      </ul>
    </details>
  )
}
