// What others chose, among words of ours: it turns nothing around it, and hides nothing.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu

export function plain(text: string): string {
  return text.replace(UNSEEN, '')
}

/** A name, an address or a subject of somebody else's (Unicode UAX 9 §5.6: isolated; without characters that nobody sees). */
export function Shown({ text }: { text: string | null | undefined }) {
  return <bdi>{plain(text ?? '')}</bdi>
}
