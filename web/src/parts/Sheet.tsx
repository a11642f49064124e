import { type ReactNode, useRef } from 'react'
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { useSpoken } from '../i18n'

/** What lies over the page until it is closed: focus stays in it, Escape closes it. */
export function Sheet({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const { t } = useSpoken()
  const box = useRef<HTMLDivElement>(null)
  // what was written is thrown away on purpose only
  function leave() {
    const written = [...(box.current?.querySelectorAll('textarea') ?? [])].some(({ value }) => value.trim() !== '')
    if (!written || window.confirm(t.discard)) onClose()
  }
  return (
    <ModalOverlay isOpen isDismissable={false} className="veil" onOpenChange={(open) => open || leave()}>
      <Modal className="sheet" ref={box}>
        <Dialog>
          <div className="sheet-head">
            <Heading slot="title">{title}</Heading>
            <button type="button" onClick={leave}>
              {t.close}
            </button>
          </div>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}
