import { AlertDialog } from '@base-ui/react/alert-dialog';
import type { ReactNode } from 'react';

/** A button that asks before it does something that cannot be taken back. */
export const Confirm = ({
  action,
  title,
  children,
  onConfirm,
  isBusy = false,
}: {
  /** What both buttons say. */
  action: string;
  title: string;
  children: ReactNode;
  onConfirm: () => void;
  isBusy?: boolean;
}) => (
  <AlertDialog.Root>
    <AlertDialog.Trigger className="button" data-kind="danger" disabled={isBusy}>
      {action}
    </AlertDialog.Trigger>
    <AlertDialog.Portal>
      <AlertDialog.Backdrop className="dialog-back" />
      <AlertDialog.Popup className="dialog stack">
        <AlertDialog.Title>{title}</AlertDialog.Title>
        <AlertDialog.Description>{children}</AlertDialog.Description>
        <div className="row" style={{ justifyContent: 'flex-end' }}>
          <AlertDialog.Close className="button">No, go back</AlertDialog.Close>
          <AlertDialog.Close className="button" data-kind="danger" onClick={onConfirm}>
            {action}
          </AlertDialog.Close>
        </div>
      </AlertDialog.Popup>
    </AlertDialog.Portal>
  </AlertDialog.Root>
);
