import { useQuery, useQueryClient } from '@tanstack/react-query'
import { lazy, Suspense, useEffect } from 'react'
import { Link, Redirect, Route, Router, Switch, useLocation } from 'wouter'
import { useHashLocation } from 'wouter/use-hash-location'
import * as family from './family'
import { useSpoken } from './i18n'
import { listen, readSession, type Session, signOut } from './jmap'
import { SessionContext, useSession } from './session'
import { SignIn } from './pages/SignIn'

// A child loads what it sees, and no console of its guardians.
const ChildPage = lazy(() => import('./pages/ChildPage'))
const MailPage = lazy(() => import('./pages/MailPage'))
const AlertPage = lazy(() => import('./pages/AlertPage'))
const LeavePage = lazy(() => import('./pages/LeavePage'))
const OpenChildPage = lazy(() => import('./pages/OpenChildPage'))
const RecoverPage = lazy(() => import('./pages/RecoverPage'))
const SignUpPage = lazy(() => import('./pages/SignUpPage'))
const FamilyPage = lazy(() => import('./pages/FamilyPage'))

export function App() {
  const { t } = useSpoken()
  const [place] = useHashLocation()
  if (!place.startsWith('/leave/')) return <Doors />
  return (
    <Suspense fallback={<p role="status">{t.loading}</p>}>
      <LeavePage />
    </Suspense>
  )
}

function Doors() {
  const { t } = useSpoken()
  const session = useQuery({ queryKey: ['session'], queryFn: readSession, staleTime: Number.POSITIVE_INFINITY })
  if (session.isPending) return <p role="status">{t.loading}</p>
  if (!session.data) {
    return (
      <Router hook={useHashLocation}>
        <Suspense fallback={<p role="status">{t.loading}</p>}>
          <Switch>
            <Route path="/open" component={SignUpPage} />
            <Route path="/back" component={RecoverPage} />
            <Route>
              <SignIn failed={session.isError} />
            </Route>
          </Switch>
        </Suspense>
      </Router>
    )
  }
  return (
    <SessionContext value={session.data}>
      <Router hook={useHashLocation}>
        <Signed session={session.data} />
      </Router>
    </SessionContext>
  )
}

function Signed({ session }: { session: Session }) {
  const { t } = useSpoken()
  const client = useQueryClient()
  useEffect(
    () => listen(session, () => void client.invalidateQueries({ predicate: ({ queryKey }) => queryKey[0] !== 'session' })),
    [session, client],
  )
  return (
    <div className={session.isChild ? 'app child' : 'app'}>
      <a className="skip" href="#content" onClick={(event) => {
        event.preventDefault()
        document.getElementById('content')?.focus()
      }}>
        {t.skip}
      </a>
      <Head session={session} />
      <main id="content" tabIndex={-1}>
        <Suspense fallback={<p role="status">{t.loading}</p>}>
          {session.isChild ? (
            <ChildPage />
          ) : (
            <Switch>
              <Route path="/mail/:box?/:letter?" component={MailPage} />
              <Route path="/family" component={FamilyPage} />
              <Route path="/family/at/:token" component={AlertPage} />
              <Route path="/family/of/:child" component={FamilyPage} />
              <Route path="/family/open" component={OpenChildPage} />
              <Route>
                <Redirect to="/mail" />
              </Route>
            </Switch>
          )}
        </Suspense>
      </main>
    </div>
  )
}

function Head({ session }: { session: Session }) {
  const { t, change, language } = useSpoken()
  const client = useQueryClient()
  const leave = async () => {
    await signOut().catch(() => undefined)
    client.clear()
    location.hash = ''
    await client.invalidateQueries()
    location.reload()
  }
  return (
    <header className="head">
      <span className="brand">Petit Bleu</span>
      {session.isChild ? null : <Places />}
      <span className="who">{session.username}</span>
      <button type="button" onClick={change} lang={language === 'en' ? 'fr' : 'en'}>
        {t.language}
      </button>
      <button type="button" onClick={() => void leave()}>
        {t.signOut}
      </button>
    </header>
  )
}

function Places() {
  const { t } = useSpoken()
  const waiting = useWaitingCount()
  const [path] = useLocation()
  const current = (start: string) => (path.startsWith(start) ? 'page' : undefined)
  return (
    <nav aria-label="Petit Bleu">
      <Link href="/mail" aria-current={current('/mail')}>
        {t.mail}
      </Link>
      <Link href="/family" aria-current={current('/family')}>
        {t.family}
        {waiting ? (
          <span className="badge" role="status">
            {waiting}
            <span className="hidden"> {t.waits(waiting).replace(/^\d+ /, '')}</span>
          </span>
        ) : null}
      </Link>
    </nav>
  )
}

/** How many letters wait for all children, told by push, and looked at now and then in case that was missed. */
function useWaitingCount(): number {
  const session = useSession()
  const found = useQuery({
    queryKey: ['waiting-count'],
    refetchInterval: 60_000,
    queryFn: async () => {
      const all = await family.children(session)
      const each = await Promise.all(all.map((child) => family.waiting(session, child.id)))
      return each.flatMap(({ list }) => list).reduce((sum, sender) => sum + sender.messages, 0)
    },
  })
  return found.data ?? 0
}
