import { useId, useState } from 'react'
import { useSpoken } from '../i18n'
import { nameFault } from '../opening'
import { OPENING } from '../pages/Opening.texts'

/** What stands before the @, and the domain; says at once whether the address may be had. */
export function NameField({ label, domains }: { label: string; domains: string[] }) {
  const { language } = useSpoken()
  const w = OPENING[language]
  const id = useId()
  const [said, setSaid] = useState<{ good: boolean; text: string } | null>(null)
  async function look(form: HTMLFormElement | null) {
    if (!form) return
    const given = new FormData(form)
    const name = String(given.get('name')).trim()
    if (!name) return setSaid(null)
    try {
      const fault = await nameFault(name, String(given.get('domain')))
      setSaid({ good: !fault, text: fault ? (w.faults[fault] ?? '') : w.free })
    } catch {
      setSaid(null) // it is said when the account is opened
    }
  }
  return (
    <div className="field">
      <label htmlFor={`${id}-name`}>{label}</label>
      <div className="line">
        <input
          id={`${id}-name`}
          name="name"
          autoComplete="off"
          autoCapitalize="none"
          spellCheck={false}
          maxLength={40}
          required
          aria-describedby={`${id}-said`}
          onBlur={(event) => void look(event.currentTarget.form)}
        />
        <label className="hidden" htmlFor={`${id}-domain`}>
          {w.at}
        </label>
        <select id={`${id}-domain`} name="domain" onChange={(event) => void look(event.currentTarget.form)}>
          {domains.map((domain) => (
            <option key={domain} value={domain}>
              @{domain}
            </option>
          ))}
        </select>
      </div>
      <p id={`${id}-said`} role="status" className={said?.good ? 'good said' : 'bad said'}>
        {said?.text ?? ''}
      </p>
    </div>
  )
}
