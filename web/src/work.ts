// The work that opening an account costs (docs/rest.md): a number whose SHA-256 with the challenge begins with so many zero bits.
import { sha256 } from '@noble/hashes/sha2.js'

const AT_ONCE = 4_000

function leadingZeros(digest: Uint8Array): number {
  let zeros = 0
  for (const octet of digest) {
    zeros += Math.clz32(octet) - 24
    if (octet !== 0) break
  }
  return zeros
}

/** Find the answer; the page goes on living meanwhile. */
export async function solve(challenge: string, bits: number): Promise<string> {
  const text = new TextEncoder()
  for (let number = 0; ; number++) {
    const answer = String(number)
    if (leadingZeros(sha256(text.encode(`${challenge}:${answer}`))) >= bits) return answer
    if (number % AT_ONCE === 0) await new Promise((resume) => setTimeout(resume))
  }
}
