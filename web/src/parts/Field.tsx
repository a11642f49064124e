import { type ComponentProps, useId } from 'react'

/** A labelled line of text. */
export function Field({ label, ...rest }: { label: string } & ComponentProps<'input'>) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <input id={id} {...rest} />
    </div>
  )
}

/** A labelled text of several lines. */
export function Area({ label, ...rest }: { label: string } & ComponentProps<'textarea'>) {
  const id = useId()
  return (
    <div className="field">
      <label htmlFor={id}>{label}</label>
      <textarea id={id} {...rest} />
    </div>
  )
}
