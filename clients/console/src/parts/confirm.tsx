import { AlertDialog } from '@base-ui/react/alert-dialog';
import type { ReactNode } from 'react';

/** A button that asks before it does something that cannot be taken back. */
export const Confirm = ({
  action,
  title,
  children,
  onConfirm,
  isBusy = false,
  isReady = true,
  kind = 'danger',
  about,
  fields,
}: {
  /** What both buttons say. */
  action: string;
  /** Which of several it is about, for those who hear the button alone. */
  about?: string;
  title: string;
  children: ReactNode;
  /** What is to be filled in first. */
  fields?: ReactNode;
  /** `plain`: it loses nothing. */
  kind?: 'danger' | 'plain';
  /** False while something is missing in the fields. */
  isReady?: boolean;
  onConfirm: () => void;
  isBusy?: boolean;
}) => (
  <AlertDialog.Root>
    <AlertDialog.Trigger
      className="button"
      data-kind={kind}
      disabled={isBusy}
      {...(about === undefined ? {} : { 'aria-label': `${action}: ${about}` })}
    >
      {action}
    </AlertDialog.Trigger>
    <AlertDialog.Portal>
      <AlertDialog.Backdrop className="dialog-back" />
      <AlertDialog.Popup className="dialog stack">
        <AlertDialog.Title>{title}</AlertDialog.Title>
        <AlertDialog.Description>{children}</AlertDialog.Description>
        {fields}
        <div className="row" style={{ justifyContent: 'flex-end' }}>
          <AlertDialog.Close className="button">No, go back</AlertDialog.Close>
          <AlertDialog.Close className="button" data-kind="danger" disabled={!isReady} onClick={onConfirm}>
            {action}
          </AlertDialog.Close>
        </div>
      </AlertDialog.Popup>
    </AlertDialog.Portal>
  </AlertDialog.Root>
);
