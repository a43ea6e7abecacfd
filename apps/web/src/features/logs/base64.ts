declare global {
  interface Uint8ArrayConstructor {
    /** ES2026; some browsers lack it. */
    fromBase64?: (text: string) => Uint8Array;
  }
}

export function decodeBase64(text: string): Uint8Array {
  if (Uint8Array.fromBase64) return Uint8Array.fromBase64(text);
  return Uint8Array.from(atob(text), (character) => character.charCodeAt(0));
}
