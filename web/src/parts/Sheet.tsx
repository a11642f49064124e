import type { ReactNode } from 'react'
import { Dialog, Heading, Modal, ModalOverlay } from 'react-aria-components'
import { useSpoken } from '../i18n'

/** What lies over the page until it is closed: focus stays in it, Escape closes it. */
export function Sheet({ title, onClose, children }: { title: string; onClose: () => void; children: ReactNode }) {
  const { t } = useSpoken()
  return (
    <ModalOverlay isOpen isDismissable={false} className="veil" onOpenChange={(open) => open || onClose()}>
      <Modal className="sheet">
        <Dialog>
          <div className="sheet-head">
            <Heading slot="title">{title}</Heading>
            <button type="button" onClick={onClose}>
              {t.close}
            </button>
          </div>
          {children}
        </Dialog>
      </Modal>
    </ModalOverlay>
  )
}
