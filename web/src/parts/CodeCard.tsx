
/** A code that is shown once, to be printed or written down. */
export function CodeCard({ title, address, code, lead, print }: { title: string; address: string; code: string; lead: string; print: string }) {
  return (
    <section className="card code-card" aria-label={title}>
      <p>{lead}</p>
      <p className="quiet">{address}</p>
      <p className="code">
        <code>{code}</code>
      </p>
      <button type="button" className="no-print" onClick={() => window.print()}>
        {print}
      </button>
    </section>
  )
}
