/**
 * Returns the encoded forms in which ordinary programs write a value into a log:
 * - base64, standard and URL-safe, at each of the three possible alignments in a longer text; also wrapped at 76 or 64
 *   characters, as `base64` prints the value alone;
 * - hexadecimal digits in lower and upper case;
 * - URL-encoded, as in a path, a query or a form;
 * - inside a JSON string, with non-ASCII characters escaped or not;
 * - quoted for a shell, as `set -x`, `printf %q` and `"…"` do;
 * - UTF-16 in both byte orders.
 */
export function encodedForms(text: string): Buffer[] {
  const bytes = Buffer.from(text);
  const texts = new Set([
    ...base64Cores(bytes),
    ...wrappedBase64(bytes),
    bytes.toString("hex"),
    bytes.toString("hex").toUpperCase(),
    ...urlEncoded(text),
    ...jsonEscaped(text),
    ...shellQuoted(text),
  ]);
  texts.delete(text);
  const littleEndian = Buffer.from(text, "utf16le");
  const forms = [...texts].map((form) => Buffer.from(form));
  return [...forms, littleEndian, Buffer.from(littleEndian).swap16()];
}

/** The base64 characters that depend only on these bytes, for each of the three alignments. */
function base64Cores(bytes: Buffer): string[] {
  return [0, 1, 2].flatMap((before) => {
    const encoded = Buffer.concat([Buffer.alloc(before), bytes]).toString("base64");
    const core = encoded.slice(Math.ceil((before * 8) / 6), Math.floor(((before + bytes.length) * 8) / 6));
    return [core, core.replaceAll("+", "-").replaceAll("/", "_")];
  });
}

/**
 * Returns each wrapped line separately, so that a prefix on each line or another line ending does not matter. The last
 * line may be short.
 */
function wrappedBase64(bytes: Buffer): string[] {
  const [core = ""] = base64Cores(bytes);
  return [76, 64].flatMap((width) => {
    if (core.length <= width) return [];
    return Array.from({ length: Math.ceil(core.length / width) }, (_, line) =>
      core.slice(line * width, (line + 1) * width),
    );
  });
}

function urlEncoded(text: string): string[] {
  // A lone surrogate has no UTF-8 form, and so no URL-encoded one.
  if (!text.isWellFormed()) return [];
  const encoded = encodeURIComponent(text);
  const strict = encoded.replace(/[!'()*]/g, (c) => `%${c.charCodeAt(0).toString(16).toUpperCase()}`);
  return [encoded, strict].flatMap((form) => [
    form,
    form.replace(/%[0-9A-F]{2}/g, (code) => code.toLowerCase()),
    form.replaceAll("%20", "+"),
  ]);
}

function jsonEscaped(text: string): string[] {
  const escaped = JSON.stringify(text).slice(1, -1);
  const code = (c: string) => `\\u${c.charCodeAt(0).toString(16).padStart(4, "0")}`;
  const ascii = escaped.replace(/[^\u0020-\u007e]/g, code);
  // Go and some other languages escape these characters, so that the text can be embedded in HTML.
  const forHtml = escaped.replace(/[<>&]/g, code);
  return [escaped, ascii, forHtml, escaped.replaceAll("/", "\\/")];
}

function shellQuoted(text: string): string[] {
  return [
    text.replaceAll("'", `'\\''`),
    text.replaceAll("'", `'"'"'`),
    text.replace(/["\\$`]/g, "\\$&"),
    text.replace(/["\\$`!]/g, "\\$&"),
    // `printf %q` in bash and busybox.
    text.replace(/[^\w@%+=:,./\u0080-\uffff-]/g, "\\$&"),
    // `$'…'` quoting.
    text.replace(/['\\]/g, "\\$&").replaceAll("\n", "\\n").replaceAll("\t", "\\t"),
  ];
}
