import { useQuery } from '@tanstack/react-query'
import { Link, Redirect, useParams } from 'wouter'
import * as family from '../family'
import { useSpoken } from '../i18n'
import { useSession } from '../session'

/** Where a link of an alert leads: to its child, once; a used one says so. */
export default function AlertPage() {
  const { t } = useSpoken()
  const session = useSession()
  const { token = '' } = useParams<{ token: string }>()
  // a link is used up by looking: never twice, and never again by itself
  const found = useQuery({
    queryKey: ['session', 'link', token],
    queryFn: () => family.openLink(session, token),
    retry: false,
    staleTime: Number.POSITIVE_INFINITY,
  })
  if (found.data) return <Redirect to={`/family/of/${found.data}`} replace />
  return (
    <div className="family">
      <h1>{t.familyTitle}</h1>
      <p role="status">{found.isError ? t.linkUsed : t.loading}</p>
      <Link href="/family">{t.family}</Link>
    </div>
  )
}
