// Where a link of a letter leads: read by the browser's own parser, the one that would go there (WHATWG URL §4.4).

export interface Destination {
  /** The address, in ASCII: names of other scripts as `xn--…`, everything else percent-encoded. */
  href: string
  before: string
  host: string
  after: string
  /** Whether it names another address within, to which it may lead on. */
  leadsOn: boolean
}

const NAME = /^[a-z0-9_-]+(\.[a-z0-9_-]+)*\.[a-z][a-z0-9-]*$/
const MOST = 2048

/** The destination in a place of ours, `/leave/` and the address percent-encoded; null for what is no web address, or hides where it leads. */
export function destination(place: string): Destination | null {
  let url: URL
  try {
    url = new URL(decodeURIComponent(place.slice(place.indexOf('/', 1) + 1)))
  } catch {
    return null
  }
  const web = url.protocol === 'http:' || url.protocol === 'https:'
  if (!web || url.username || url.password || !NAME.test(url.hostname) || url.href.length > MOST) return null
  const after = `${url.port ? `:${url.port}` : ''}${url.pathname}${url.search}${url.hash}`
  let within = after
  try {
    within = decodeURIComponent(after)
  } catch {
    // no text in UTF-8: looked at as it stands
  }
  return { href: url.href, before: `${url.protocol}//`, host: url.hostname, after, leadsOn: /https?:|www\.|\/\/[a-z]/i.test(within) }
}
