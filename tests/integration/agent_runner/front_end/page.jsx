// A front end made of LiveKit's own components. It tells the test what it shows, and types what the test answers.
import { LiveKitRoom, RoomAudioRenderer, useChat, useTranscriptions, useVoiceAssistant } from "@livekit/components-react";
import { useEffect } from "react";
import { createRoot } from "react-dom/client";

const REPORT_MS = 200;
const { url, token } = Object.fromEntries(new URLSearchParams(location.search));

function Call() {
  const { agent, state, agentTranscriptions } = useVoiceAssistant();
  const captions = useTranscriptions();
  const { send, chatMessages } = useChat();
  const shown = JSON.stringify({
    agent: agent?.identity,
    state,
    agentSaid: agentTranscriptions.map((segment) => segment.text),
    captions: captions.map((caption) => [caption.participantInfo.identity, caption.text]),
    chat: chatMessages.map((message) => message.message),
  });

  useEffect(() => {
    const report = async () => {
      const answer = await fetch("/shown", { method: "POST", body: shown });
      const { type } = await answer.json();
      if (type) await send(type);
    };
    report();
    const timer = setInterval(report, REPORT_MS);
    return () => clearInterval(timer);
  }, [shown, send]);
  return <pre>{shown}</pre>;
}

createRoot(document.body.appendChild(document.createElement("main"))).render(
  <LiveKitRoom serverUrl={url} token={token} connect audio video={false}>
    <RoomAudioRenderer />
    <Call />
  </LiveKitRoom>,
);
