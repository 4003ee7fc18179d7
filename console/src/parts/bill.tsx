/** A bill with its explanation. */

import { Problem } from "../api/client";
import { isBilled, useBill, useSession } from "../api/queries";
import type { Link } from "../api/stream";
import type { Bill } from "../api/types";
import { difference, explain, sentence } from "../domain/bill";
import { clock, credits, shortId } from "../domain/format";
import { isOpen } from "../domain/words";
import { Empty, Failure, Loading } from "./kit";

/** The bill of a session, once the session says that it is billed. */
export function BillOf({ sessionId, link }: { sessionId: string; link: Link }) {
  const session = useSession(sessionId, link);
  const bill = useBill(sessionId, isBilled(session.data));
  if (bill.data) return <Explained bill={bill.data} />;
  if (session.data && isOpen(session.data.status)) return <Empty title="The bill comes after the end." />;
  if (bill.error instanceof Problem && bill.error.status === 403) {
    return <Empty title="This key may not read bills.">Use a key with the scope billing:read.</Empty>;
  }
  const error = bill.error ?? session.error;
  if (!error) return <Loading what="the bill" />;
  return <Failure error={error} retry={() => void (bill.error ? bill.refetch() : session.refetch())} />;
}

function Explained({ bill }: { bill: Bill }) {
  const differs = difference(bill);
  const price = bill.evidence?.creditsPerMinute;
  return (
    <div className="bill">
      <p className="bill-sum">
        <strong data-testid="bill-credits">{credits(bill.credits)}</strong>
        <span>{sentence(bill)}</span>
      </p>
      <div className="scroll">
        <table>
          <caption className="visually-hidden">How the bill was computed</caption>
          <thead>
            <tr>
              <th scope="col">Step</th>
              <th scope="col">Why</th>
              <th scope="col" className="number">
                Result
              </th>
            </tr>
          </thead>
          <tbody>
            {explain(bill).map((step) => (
              <tr key={step.label}>
                <th scope="row">{step.label}</th>
                <td>{step.text}</td>
                <td className="number">{step.result}</td>
              </tr>
            ))}
          </tbody>
        </table>
      </div>
      <details>
        <summary>Ledger and evidence</summary>
        <ul className="plain">
          {bill.entries.map((entry) => (
            <li key={entry.entryId}>
              {clock(entry.at)} · {entry.kind}: {credits(entry.credits)}
              {entry.note ? ` · ${entry.note}` : ""}
            </li>
          ))}
          {bill.evidence ? (
            <li>
              Computed from {bill.evidence.records} events of the log, SHA-256{" "}
              <code title={bill.evidence.logSha256}>{shortId(bill.evidence.logSha256)}</code>
              {price === undefined ? "" : `, at ${credits(price)} a minute`}; settled {clock(bill.settledAt)}.
            </li>
          ) : null}
          {differs ? <li>{differs}</li> : null}
        </ul>
      </details>
    </div>
  );
}
