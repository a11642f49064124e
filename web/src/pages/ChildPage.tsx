import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import * as family from '../family'
import { useSpoken } from '../i18n'
import { type Letter, letters, mailboxes, ownName, send, update } from '../mail'
import { Field, Area } from '../parts/Field'
import { Frame } from '../parts/Frame'
import { Sheet } from '../parts/Sheet'
import { plain, Shown } from '../parts/Shown'
import { useSession } from '../session'

// Letter papers: colours that are sent with the letter as HTML, readable in both.
const PAPERS = [
  { background: '#ffffff', ink: '#1b2033' },
  { background: '#e3f1ff', ink: '#12305c' },
  { background: '#e9f7df', ink: '#1f3d12' },
  { background: '#fff0e0', ink: '#54260a' },
]

function escaped(text: string): string {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;')
}

function onPaper(text: string, paper: number): string | undefined {
  const chosen = PAPERS[paper]
  if (!paper || !chosen) return undefined
  const lines = escaped(text).split('\n').join('<br>')
  return `<div style="background:${chosen.background};color:${chosen.ink};padding:24px;font-size:18px;border-radius:16px">${lines}</div>`
}

export default function ChildPage() {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const boxes = useQuery({ queryKey: ['mailboxes'], queryFn: () => mailboxes(session) })
  const inbox = boxes.data?.find(({ role }) => role === 'inbox')?.id
  const list = useQuery({ queryKey: ['letters', inbox], queryFn: () => letters(session, inbox ?? ''), enabled: inbox !== undefined })
  const mine = useQuery({ queryKey: ['mine'], queryFn: () => family.correspondents(session, session.accountId) })
  const [open, setOpen] = useState<Letter | null>(null)
  const [writing, setWriting] = useState<{ to: string; answers?: Letter } | null>(null)
  const [said, setSaid] = useState('')
  const called = useQuery({ queryKey: ['own-name'], queryFn: () => ownName(session), staleTime: Number.POSITIVE_INFINITY })
  const name = called.data || session.username.split('@')[0] || ''
  const friends = mine.data?.list ?? []

  function read(letter: Letter) {
    setOpen(letter)
    if (!letter.keywords.$seen) void update(session, letter.id, { 'keywords/$seen': true }).then(() => client.invalidateQueries())
  }

  return (
    <div className="child-page">
      <h1>{t.hello(name)}</h1>
      <p role="status" className="said">
        {said}
      </p>
      <button type="button" className="first big" onClick={() => setWriting({ to: '' })}>
        {t.newLetter}
      </button>
      <section aria-labelledby="letters-title">
        <h2 id="letters-title">{t.letters}</h2>
        {boxes.isError || list.isError ? <p role="alert">{t.failed}</p> : null}
        {list.data?.length === 0 ? <p>{t.noLetters}</p> : null}
        <ul className="envelopes">
          {list.data?.map((letter) => (
            <li key={letter.id}>
              <button type="button" className={letter.keywords.$seen ? 'envelope' : 'envelope unread'} onClick={() => read(letter)}>
                <span className="row-from">
                  <Shown text={letter.from?.[0]?.name || letter.from?.[0]?.email} />
                </span>
                <span className="row-subject">
                  <Shown text={letter.subject || t.noSubject} />
                </span>
                {letter.keywords.$seen ? null : <span className="hidden">({t.unread})</span>}
              </button>
            </li>
          ))}
        </ul>
        <p className="quiet">{t.whatWaits}</p>
      </section>
      <section aria-labelledby="friends-title">
        <h2 id="friends-title">{t.yourFriends}</h2>
        <ul className="friends">
          {friends.map((one) => (
            <li key={one.address}>
              {one.letIn ? (
                <button type="button" onClick={() => setWriting({ to: one.address })}>
                  {one.address}
                </button>
              ) : (
                <span className="quiet">
                  {one.address}: {one.state === 'asked' ? t.childWaits : one.state ? t.states[one.state] : ''}
                </span>
              )}
            </li>
          ))}
        </ul>
        <Ask onSaid={setSaid} />
      </section>
      {open ? (
        <Sheet title={plain(open.subject || t.noSubject)} onClose={() => setOpen(null)}>
          <p className="from">
            {t.from}: <Shown text={open.from?.[0]?.name} /> &lt;
            <Shown text={open.from?.[0]?.email} />
            &gt;
          </p>
          <Frame letterId={open.id} />
          <button
            type="button"
            className="first big"
            onClick={() => {
              setWriting({ to: open.from?.[0]?.email ?? '', answers: open })
              setOpen(null)
            }}
          >
            {t.reply}
          </button>
        </Sheet>
      ) : null}
      {writing ? (
        <Write
          {...writing}
          friends={friends.filter(({ letIn }) => letIn).map(({ address }) => address)}
          onClose={() => setWriting(null)}
          onSent={() => {
            setWriting(null)
            setSaid(t.childSent)
          }}
        />
      ) : null}
    </div>
  )
}

function Ask({ onSaid }: { onSaid: (text: string) => void }) {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const asking = useMutation({
    mutationFn: (address: string) => family.ask(session, address),
    onSuccess: () => {
      onSaid(t.asked)
      void client.invalidateQueries({ queryKey: ['mine'] })
    },
  })
  return (
    <form
      className="line"
      onSubmit={(event) => {
        event.preventDefault()
        const form = event.currentTarget
        asking.mutate(String(new FormData(form).get('address')), { onSuccess: () => form.reset() })
      }}
    >
      <Field label={t.askFriend} name="address" type="email" required autoComplete="off" />
      <button type="submit">{t.askSend}</button>
      <p role="alert" className="wrong">
        {asking.isError ? t.failed : ''}
      </p>
    </form>
  )
}

interface WriteProps {
  to: string
  answers?: Letter
  friends: string[]
  onClose: () => void
  onSent: () => void
}

function Write({ to, answers, friends, onClose, onSent }: WriteProps) {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const [paper, setPaper] = useState(0)
  const known = friends.some((one) => one.toLowerCase() === to.toLowerCase())
  const sending = useMutation({
    mutationFn: (form: FormData) => {
      const text = String(form.get('text'))
      const html = onPaper(text, paper)
      const person = { name: null, email: String(form.get('to')) }
      return send(session, { to: [person], subject: String(form.get('subject')), text, answers, ...(html === undefined ? {} : { html }) })
    },
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['letters'] })
      onSent()
    },
  })
  const stranger = to !== '' && !known
  return (
    <Sheet title={answers ? t.reply : t.newLetter} onClose={onClose}>
      {stranger ? (
        <p role="alert">{t.notAFriend}</p>
      ) : (
        <form
          onSubmit={(event) => {
            event.preventDefault()
            sending.mutate(new FormData(event.currentTarget))
          }}
        >
          <div className="field">
            <label htmlFor="to">{t.toWhom}</label>
            <select id="to" name="to" defaultValue={friends.find((one) => one.toLowerCase() === to.toLowerCase())} required>
              {friends.map((one) => (
                <option key={one}>{one}</option>
              ))}
            </select>
          </div>
          <Field label={t.subject} name="subject" autoComplete="off" defaultValue={answers ? `Re: ${answers.subject ?? ''}` : ''} />
          <fieldset className="papers">
            <legend>{t.paper}</legend>
            {t.papers.map((text, at) => (
              <label key={text} className={`choice paper paper-${at}`}>
                <input type="radio" name="paper" checked={paper === at} onChange={() => setPaper(at)} />
                {text}
              </label>
            ))}
          </fieldset>
          <Area label={t.letterText} name="text" rows={8} required className={`paper-${paper}`} />
          <p role="alert" className="wrong">
            {sending.isError ? t.failed : ''}
          </p>
          <button type="submit" className="first big" disabled={sending.isPending}>
            {t.sendIt}
          </button>
        </form>
      )}
    </Sheet>
  )
}
