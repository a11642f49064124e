import { useSpoken } from '../i18n'
import { useSession } from '../session'

/** A letter as the server shows it: sanitized, in a frame without scripts, with a policy of its own (docs/rest.md). */
export function Frame({ letterId }: { letterId: string }) {
  const { t } = useSpoken()
  const session = useSession()
  const src = `/api/messages/${session.accountId}/${letterId}/rendering?as=document&images=ask`
  return <iframe className="letter" title={t.message} src={src} sandbox="allow-popups allow-popups-to-escape-sandbox" />
}
