import { useMutation, useQueryClient } from '@tanstack/react-query'
import { useSpoken } from '../i18n'
import { type Letter, type Person, send } from '../mail'
import { useSession } from '../session'
import { Area, Field } from './Field'
import { Sheet } from './Sheet'

/** Addresses as people type them: separated by commas, each plain or as `Name <address>`. */
export function readAddresses(text: string): Person[] {
  // a separator in quotes is part of a name (RFC 5322 §3.2.4)
  return (text.match(/(?:"(?:\\.|[^"\\])*"|[^,;\n"])+/g) ?? [])
    .map((one) => one.trim())
    .filter(Boolean)
    .map((one) => {
      const named = /^(.*)<([^<>]+)>$/.exec(one)
      return named ? { name: named[1]?.trim().replace(/^"|"$/g, '') || null, email: named[2]?.trim() ?? '' } : { name: null, email: one }
    })
}

export function answersTo(letter: Letter): string {
  return (letter.replyTo ?? letter.from ?? []).map(({ email }) => email).join(', ')
}

export function subjectOfAnswer(letter: Letter): string {
  const subject = letter.subject ?? ''
  return /^re\s*:/i.test(subject) ? subject : `Re: ${subject}`
}

export function Compose({ answers, onClose, onSent }: { answers?: Letter | undefined; onClose: () => void; onSent: () => void }) {
  const { t } = useSpoken()
  const session = useSession()
  const client = useQueryClient()
  const sending = useMutation({
    mutationFn: (form: FormData) =>
      send(session, { to: readAddresses(String(form.get('to'))), subject: String(form.get('subject')), text: String(form.get('text')), answers }),
    onSuccess: () => {
      void client.invalidateQueries({ queryKey: ['letters'] })
      onSent()
    },
  })
  return (
    <Sheet title={answers ? t.reply : t.write} onClose={onClose}>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          sending.mutate(new FormData(event.currentTarget))
        }}
      >
        <Field label={t.to} name="to" required autoComplete="off" defaultValue={answers ? answersTo(answers) : ''} />
        <Field label={t.subject} name="subject" autoComplete="off" defaultValue={answers ? subjectOfAnswer(answers) : ''} />
        <Area label={t.text} name="text" rows={10} />
        <p role="alert" className="wrong">
          {sending.isError ? t.failed : ''}
        </p>
        <button type="submit" className="first" disabled={sending.isPending}>
          {t.send}
        </button>
      </form>
    </Sheet>
  )
}
