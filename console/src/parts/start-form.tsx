/** What the agent of a call is: voice, first words, prompt, limit. */

import { type FormEvent, useId, useState } from "react";
import type { Console } from "../api/types";
import { Section } from "./kit";

export interface StartFields {
  userName: string;
  voiceId: string;
  openingLine?: string;
  systemPrompt: string;
  creditLimit?: number;
}

export function StartForm({
  gateway,
  isOn,
  onStart,
}: {
  gateway: Console;
  isOn: boolean;
  onStart: (f: StartFields) => void;
}) {
  const [name, setName] = useState("Caller");
  const [voice, setVoice] = useState(gateway.defaults.voiceId);
  const [line, setLine] = useState("");
  const [prompt, setPrompt] = useState(gateway.defaults.systemPrompt);
  const [limit, setLimit] = useState("");
  const id = useId();

  const submit = (event: FormEvent) => {
    event.preventDefault();
    onStart({
      userName: name.trim(),
      voiceId: voice.trim(),
      systemPrompt: prompt,
      ...(line.trim() ? { openingLine: line.trim() } : {}),
      ...(limit ? { creditLimit: Number(limit) } : {}),
    });
  };
  const price = gateway.creditsPerMinute;
  return (
    <Section id={`${id}-title`} title="The call">
      <form className="start-form" onSubmit={submit}>
        <label htmlFor={`${id}-name`}>Your name</label>
        <input
          id={`${id}-name`}
          required
          maxLength={100}
          value={name}
          onChange={(e) => setName(e.target.value)}
          autoComplete="off"
        />

        <label htmlFor={`${id}-voice`}>Voice</label>
        {gateway.voices?.length ? (
          <select id={`${id}-voice`} value={voice} onChange={(e) => setVoice(e.target.value)}>
            {(gateway.voices.includes(voice) ? gateway.voices : [voice, ...gateway.voices]).map((each) => (
              <option key={each}>{each}</option>
            ))}
          </select>
        ) : (
          <input
            id={`${id}-voice`}
            required
            maxLength={64}
            value={voice}
            onChange={(e) => setVoice(e.target.value)}
            autoComplete="off"
          />
        )}

        <label htmlFor={`${id}-line`}>Opening line</label>
        <input
          id={`${id}-line`}
          maxLength={1000}
          value={line}
          onChange={(e) => setLine(e.target.value)}
          placeholder="a greeting with your name"
          autoComplete="off"
        />

        <label htmlFor={`${id}-prompt`}>Prompt</label>
        <textarea
          id={`${id}-prompt`}
          required
          rows={5}
          maxLength={32000}
          value={prompt}
          onChange={(e) => setPrompt(e.target.value)}
        />

        <label htmlFor={`${id}-limit`}>Limit, in minutes</label>
        <input
          id={`${id}-limit`}
          type="number"
          min={1}
          max={1_000_000}
          step={1}
          value={limit}
          onChange={(e) => setLimit(e.target.value)}
          placeholder="none"
          aria-describedby={`${id}-price`}
        />
        <p id={`${id}-price`} className="muted">
          {price === null
            ? "The bill is never higher than the limit."
            : `A begun minute costs ${price} ${price === 1 ? "credit" : "credits"}; the bill is never higher than the limit.`}
        </p>
        <button type="submit" className="primary" disabled={isOn}>
          {isOn ? "In a call" : "Start the call"}
        </button>
      </form>
    </Section>
  );
}
