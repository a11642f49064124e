import { useQueryClient } from '@tanstack/react-query'
import { useState } from 'react'
import { Link } from 'wouter'
import { useSpoken } from '../i18n'
import { Refused, signIn } from '../jmap'
import { Field } from '../parts/Field'

export function SignIn({ failed }: { failed: boolean }) {
  const { t, change, language } = useSpoken()
  const client = useQueryClient()
  const [wrong, setWrong] = useState(failed ? t.failed : '')
  const [busy, setBusy] = useState(false)

  async function enter(form: FormData) {
    setBusy(true)
    try {
      await signIn(String(form.get('address')).trim(), String(form.get('password')))
      await client.invalidateQueries()
    } catch (error) {
      const status = error instanceof Refused ? error.status : 0
      setWrong(status === 401 ? t.wrong : status === 429 ? t.tooMany : t.failed)
    } finally {
      setBusy(false)
    }
  }

  return (
    <main className="door">
      <h1>Petit Bleu</h1>
      <p>{t.welcome}</p>
      <form
        onSubmit={(event) => {
          event.preventDefault()
          void enter(new FormData(event.currentTarget))
        }}
      >
        <Field label={t.address} name="address" type="email" autoComplete="username" required />
        <Field label={t.password} name="password" type="password" autoComplete="current-password" required />
        <p role="alert" className="wrong">
          {wrong}
        </p>
        <button type="submit" className="first" disabled={busy}>
          {t.signIn}
        </button>
      </form>
      <p className="tools">
        <Link href="/open">{t.openAccount}</Link>
        <Link href="/back">{t.haveCode}</Link>
      </p>
      <button type="button" onClick={change} lang={language === 'en' ? 'fr' : 'en'}>
        {t.language}
      </button>
    </main>
  )
}
