/** Captions of both sides and typed text, as one conversation in the order in which it began. */

export interface Piece {
  id: string;
  /** A caption's versions have one segment; the last one counts. */
  segment: string | undefined;
  from: string;
  text: string;
  atMs: number;
}

export interface Line {
  id: string;
  isAgent: boolean;
  text: string;
  isTyped: boolean;
}

export function conversation(captions: readonly Piece[], typedText: readonly Piece[]): Line[] {
  const lines = new Map<string, Line & { atMs: number }>();
  for (const piece of captions) {
    const id = `${piece.from} ${piece.segment ?? piece.id}`;
    const first = lines.get(id);
    const text = piece.text.trim();
    lines.set(id, { id, text, isAgent: isAgent(piece.from), isTyped: false, atMs: first?.atMs ?? piece.atMs });
  }
  for (const piece of typedText) {
    lines.set(piece.id, {
      id: piece.id,
      text: piece.text,
      isAgent: isAgent(piece.from),
      isTyped: true,
      atMs: piece.atMs,
    });
  }
  return [...lines.values()].filter((line) => line.text !== "").sort((a, b) => a.atMs - b.atMs);
}

function isAgent(identity: string): boolean {
  return identity.startsWith("agent:");
}
