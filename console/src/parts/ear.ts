/** The levels of both sides, measured by the browser's audio graph, for `domain/ear`. */

import { useEffect, useRef, useState } from "react";
import { type Answer, DEAF, listen, thinks, typed } from "../domain/ear";

const EVERY_MS = 20;
const SHOWN_EVERY_MS = 100;
/** A voice's RMS is small: this makes ordinary speech fill half of the meter. */
const METER_GAIN = 6;

export function useEar(agent: MediaStreamTrack | undefined, caller: MediaStreamTrack | undefined, isThinking: boolean) {
  const ear = useRef(DEAF);
  const [answers, setAnswers] = useState<readonly Answer[]>([]);
  const [level, setLevel] = useState(0);

  useEffect(() => {
    if (isThinking) ear.current = thinks(ear.current);
  }, [isThinking]);

  useEffect(() => {
    if (!agent && !caller) return;
    const context = new AudioContext();
    const agentLevel = meter(context, agent);
    const callerLevel = meter(context, caller);
    let shownAt = 0;
    const timer = setInterval(() => {
      const now = performance.now();
      const levels = { agent: agentLevel(), caller: callerLevel() };
      const before = ear.current.answers;
      ear.current = listen(ear.current, now, levels);
      if (ear.current.answers !== before) setAnswers(ear.current.answers);
      if (now - shownAt >= SHOWN_EVERY_MS) {
        shownAt = now;
        setLevel(Math.min(1, levels.caller * METER_GAIN));
      }
    }, EVERY_MS);
    return () => {
      clearInterval(timer);
      void context.close();
    };
  }, [agent, caller]);

  return {
    answers,
    level,
    typed: () => {
      ear.current = typed(ear.current, performance.now());
    },
  };
}

function meter(context: AudioContext, track: MediaStreamTrack | undefined): () => number {
  if (!track) return () => 0;
  const analyser = context.createAnalyser();
  analyser.fftSize = 1024;
  context.createMediaStreamSource(new MediaStream([track])).connect(analyser);
  const samples = new Float32Array(analyser.fftSize);
  return () => {
    analyser.getFloatTimeDomainData(samples);
    return Math.sqrt(samples.reduce((sum, sample) => sum + sample * sample, 0) / samples.length);
  };
}
