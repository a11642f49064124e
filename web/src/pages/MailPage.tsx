import { useMutation, useQuery, useQueryClient } from '@tanstack/react-query'
import { useEffect, useState } from 'react'
import { Link, useLocation, useParams } from 'wouter'
import { useSpoken } from '../i18n'
import { type Letter, letters, type Mailbox, mailboxes, update } from '../mail'
import { Compose } from '../parts/Compose'
import { Frame } from '../parts/Frame'
import { Shown } from '../parts/Shown'
import { useSession } from '../session'

export default function MailPage() {
  const { t } = useSpoken()
  const session = useSession()
  const given = useParams<{ box?: string; letter?: string }>()
  const boxes = useQuery({ queryKey: ['mailboxes'], queryFn: () => mailboxes(session) })
  const box = boxes.data?.find(({ id }) => id === given.box) ?? boxes.data?.find(({ role }) => role === 'inbox')
  const list = useQuery({
    queryKey: ['letters', box?.id],
    queryFn: () => letters(session, box?.id ?? ''),
    enabled: box !== undefined,
  })
  const letter = list.data?.find(({ id }) => id === given.letter)
  const [writing, setWriting] = useState<{ answers?: Letter } | null>(null)
  const [said, setSaid] = useState('')
  const trash = boxes.data?.find(({ role }) => role === 'trash')
  return (
    <div className={letter ? 'mail reading' : 'mail'}>
      <section className="boxes" aria-label={t.mailboxes}>
        <button type="button" className="first" onClick={() => setWriting({})}>
          {t.write}
        </button>
        <ul>
          {boxes.data?.map((one) => (
            <li key={one.id}>
              <Link href={`/mail/${one.id}`} aria-current={one.id === box?.id ? 'page' : undefined}>
                <BoxName box={one} />
              </Link>
            </li>
          ))}
        </ul>
      </section>
      <section className="list" aria-labelledby="list-title">
        <h1 id="list-title">{box ? <BoxName box={box} /> : t.messages}</h1>
        <p role="status" className="said">
          {said}
        </p>
        {boxes.isError || list.isError ? <p role="alert">{t.failed}</p> : null}
        {list.data?.length === 0 ? <p>{t.none}</p> : null}
        <ul>
          {list.data?.map((one) => (
            <li key={one.id}>
              <Row letter={one} box={box?.id ?? ''} current={one.id === letter?.id} />
            </li>
          ))}
        </ul>
      </section>
      {letter ? (
        <Reading letter={letter} box={box?.id ?? ''} trash={trash} onReply={() => setWriting({ answers: letter })} onSaid={setSaid} />
      ) : null}
      {writing ? (
        <Compose
          answers={writing.answers}
          onClose={() => setWriting(null)}
          onSent={() => {
            setWriting(null)
            setSaid(t.sent)
          }}
        />
      ) : null}
    </div>
  )
}

function BoxName({ box }: { box: Mailbox }) {
  const { t } = useSpoken()
  const names: Record<string, string> = { inbox: t.inbox, drafts: t.drafts, sent: t.sentBox, trash: t.trash, junk: t.junk, archive: t.archive }
  return (
    <>
      {(box.role && names[box.role]) || box.name}
      {box.unreadEmails ? (
        <span className="badge">
          {box.unreadEmails}
          <span className="hidden"> {t.unread}</span>
        </span>
      ) : null}
    </>
  )
}

function senderOf(letter: Letter): string {
  const first = letter.from?.[0]
  return first?.name || first?.email || ''
}

function Row({ letter, box, current }: { letter: Letter; box: string; current: boolean }) {
  const { t, date } = useSpoken()
  const unread = !letter.keywords.$seen
  return (
    <Link href={`/mail/${box}/${letter.id}`} className={unread ? 'row unread' : 'row'} aria-current={current ? 'true' : undefined}>
      <span className="row-from">
        <Shown text={senderOf(letter)} />
        {unread ? <span className="hidden"> ({t.unread})</span> : null}
      </span>
      <time dateTime={letter.receivedAt}>{date(letter.receivedAt)}</time>
      <span className="row-subject">
        <Shown text={letter.subject || t.noSubject} />
      </span>
      <span className="row-preview">
        <Shown text={letter.preview} />
      </span>
    </Link>
  )
}

interface ReadingProps {
  letter: Letter
  box: string
  trash: Mailbox | undefined
  onReply: () => void
  onSaid: (text: string) => void
}

function Reading({ letter, box, trash, onReply, onSaid }: ReadingProps) {
  const { t, date } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const [, go] = useLocation()
  const seen = letter.keywords.$seen === true
  useEffect(() => {
    if (seen) return
    void update(session, letter.id, { 'keywords/$seen': true }).then(() => client.invalidateQueries())
  }, [seen, letter.id, session, client])
  const removing = useMutation({
    mutationFn: () => update(session, letter.id, { mailboxIds: { [trash?.id ?? '']: true } }),
    onSuccess: () => {
      onSaid(t.deleted)
      go(`/mail/${box}`)
      void client.invalidateQueries()
    },
  })
  return (
    <article className="reading" aria-labelledby="letter-title">
      <div className="tools">
        <Link href={`/mail/${box}`}>{t.back}</Link>
        <button type="button" className="first" onClick={onReply}>
          {t.reply}
        </button>
        {trash && trash.id !== box ? (
          <button type="button" onClick={() => removing.mutate()}>
            {t.delete}
          </button>
        ) : null}
      </div>
      <h2 id="letter-title">
        <Shown text={letter.subject || t.noSubject} />
      </h2>
      <p className="from">
        {t.from}: <Shown text={senderOf(letter)} /> &lt;
        <Shown text={letter.from?.[0]?.email} />
        &gt; · <time dateTime={letter.receivedAt}>{date(letter.receivedAt)}</time>
      </p>
      <Frame letterId={letter.id} />
    </article>
  )
}
