import { useHashLocation } from 'wouter/use-hash-location'
import { useSpoken } from '../i18n'
import { destination } from '../leaving'
import { LEAVING } from './LeavePage.texts'

/** Between a child's letter and another site: says where a link leads, and goes there at a press only. Needs nobody signed in. */
export default function LeavePage() {
  const { t, language, change } = useSpoken()
  const w = LEAVING[language]
  const [place] = useHashLocation()
  const found = destination(place)
  return (
    <main className="door child leave">
      <button type="button" onClick={change} lang={language === 'en' ? 'fr' : 'en'}>
        {t.language}
      </button>
      <h1>{found ? w.title : w.refused}</h1>
      <p>{found ? w.lead : w.refusedLead}</p>
      {found ? (
        <>
          <p className="where">
            <bdi dir="ltr">
              {found.before}
              <strong>{found.host}</strong>
              {found.after}
            </bdi>
          </p>
          <p>{w.look}</p>
          {found.host.includes('xn--') ? <p className="bad">{w.foreign}</p> : null}
          {found.leadsOn ? <p className="bad">{w.leadsOn}</p> : null}
          {found.before === 'http://' ? <p className="bad">{w.plain}</p> : null}
          <p>{w.ask}</p>
        </>
      ) : null}
      <p className="tools">
        <a href="#/">{w.stay}</a>
        {found ? (
          <a href={found.href} rel="noopener noreferrer nofollow" referrerPolicy="no-referrer">
            {w.go}
          </a>
        ) : null}
      </p>
    </main>
  )
}
