/** A button that asks before it acts. */

import { AlertDialog } from "@base-ui/react/alert-dialog";
import { type ReactNode, useRef, useState } from "react";
import { useFocusAfter } from "./kit";

interface Confirm {
  label: string;
  title: string;
  action: string;
  isBusy: boolean;
  disabled?: boolean;
  onConfirm: () => void;
  children: ReactNode;
}

export function ConfirmButton({ label, title, action, isBusy, disabled = false, onConfirm, children }: Confirm) {
  const [isOpen, setOpen] = useState(false);
  const trigger = useRef<HTMLButtonElement>(null);
  useFocusAfter(trigger);
  return (
    // A busy button keeps the focus, which the closing dialog gives back: a disabled one would lose it.
    <AlertDialog.Root open={isOpen} onOpenChange={(open) => setOpen(open && !isBusy)}>
      <AlertDialog.Trigger ref={trigger} className="danger" aria-disabled={isBusy} disabled={disabled}>
        {isBusy ? `${label}…` : label}
      </AlertDialog.Trigger>
      <AlertDialog.Portal>
        <AlertDialog.Backdrop className="backdrop" />
        <AlertDialog.Popup className="dialog">
          <AlertDialog.Title className="dialog-title">{title}</AlertDialog.Title>
          <AlertDialog.Description render={<div />} className="dialog-text">
            {children}
          </AlertDialog.Description>
          <div className="dialog-foot">
            <AlertDialog.Close>Cancel</AlertDialog.Close>
            <button
              type="button"
              className="danger"
              onClick={() => {
                setOpen(false);
                onConfirm();
              }}
            >
              {action}
            </button>
          </div>
        </AlertDialog.Popup>
      </AlertDialog.Portal>
    </AlertDialog.Root>
  );
}
