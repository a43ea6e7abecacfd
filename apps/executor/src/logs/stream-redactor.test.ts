import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { SecretMatcher } from "./secret-matcher.ts";
import { secretPatterns } from "./secret-patterns.ts";
import { StreamRedactor } from "./stream-redactor.ts";

function redact(secrets: Record<string, string>, chunks: readonly (string | Buffer)[]): string {
  const redactor = new StreamRedactor(new SecretMatcher(secretPatterns(secrets)));
  const output = chunks.flatMap((chunk) => redactor.write(Buffer.from(chunk as string)));
  return Buffer.concat([...output, ...redactor.end()]).toString("latin1");
}

/** Computes the same by brute force on the whole text. */
function redactWhole(patterns: readonly string[], text: string): string {
  const covering = Array.from({ length: text.length }, (_, start) =>
    Math.max(0, ...patterns.filter((p) => text.startsWith(p, start)).map((p) => p.length)),
  );
  let output = "";
  let coveredUntil = 0;
  for (let at = 0; at < text.length; at += 1) {
    const length = covering[at] ?? 0;
    if (length > 0) {
      if (at >= coveredUntil) output += "*";
      coveredUntil = Math.max(coveredUntil, at + length);
    }
    if (at >= coveredUntil) output += text[at];
  }
  return output;
}

const fewLetters = (minLength: number, maxLength: number) =>
  fc.string({ unit: fc.constantFrom("a", "b", "c"), minLength, maxLength });

describe("the redactor", () => {
  it("redacts exactly what a search in the whole text finds, wherever the stream is split", () => {
    fc.assert(
      fc.property(
        fc.uniqueArray(fewLetters(4, 7), { minLength: 1, maxLength: 5 }),
        fewLetters(0, 60),
        fc.array(fc.nat(60), { maxLength: 8 }),
        (patterns, text, cuts) => {
          const matcher = new SecretMatcher(
            patterns.map((p) => ({ bytes: Buffer.from(p), replacement: Buffer.from("*") })),
          );
          const redactor = new StreamRedactor(matcher);
          const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
          const chunks = places.slice(1).map((end, index) => text.slice(places[index], end));

          const output = [...chunks.flatMap((chunk) => redactor.write(Buffer.from(chunk))), ...redactor.end()];

          expect(Buffer.concat(output).toString()).toBe(redactWhole(patterns, text));
        },
      ),
      { numRuns: 3000 },
    );
  });

  it("finds a secret that is split at any byte", () => {
    const text = "before s3cr3t-value after";
    for (let cut = 0; cut <= text.length; cut += 1) {
      expect(redact({ "s3cr3t-value": "***" }, [text.slice(0, cut), text.slice(cut)])).toBe("before *** after");
    }
    expect(redact({ "s3cr3t-value": "***" }, [...text])).toBe("before *** after");
  });

  it("finds a secret that overlaps with its own beginning", () => {
    expect(redact({ aaab: "***" }, ["aaa", "aab"])).toBe("aa***");
    expect(redact({ abab: "***" }, ["xab", "aba", "by"])).toBe("x***y");
  });

  it("leaves no part of two overlapping secrets, and prefers the longer of two with the same beginning", () => {
    expect(redact({ abcdef: "[1]", efghij: "[2]" }, ["abcdefghij!"])).toBe("[1]!");
    expect(redact({ secret: "[1]", "secret-token": "[2]" }, ["a secret-", "token, a secret-", "x"])).toBe(
      "a [2], a [1]-x",
    );
    expect(redact({ abcd: "[1]" }, ["abcdabcd"])).toBe("[1][1]");
  });

  it("holds back only bytes that may be the beginning of a secret", () => {
    const redactor = new StreamRedactor(new SecretMatcher(secretPatterns({ "s3cr3t-value": "***" })));

    expect(Buffer.concat(redactor.write(Buffer.from("progress 43 %"))).toString()).toBe("progress 43 %");
    expect(Buffer.concat(redactor.write(Buffer.from("\nlogin s3cr"))).toString()).toBe("\nlogin ");
    expect(Buffer.concat(redactor.write(Buffer.from("aped"))).toString()).toBe("s3craped");
  });

  it("finds base64 at each offset at which it may begin, and URL-encoded values", () => {
    const secret = "p@ss/word?with=ünsafe+bytes>>";
    for (const before of ["", "x", "xy"]) {
      for (const encoding of ["base64", "base64url"] as const) {
        const encoded = Buffer.from(`${before}${secret} tail`).toString(encoding);
        const out = redact({ [secret]: "***" }, [encoded.slice(0, 9), encoded.slice(9)]);
        expect(out).toContain("***");
        expect(out.length).toBeLessThan(20);
      }
    }
    expect(redact({ [secret]: "***" }, [`?q=${encodeURIComponent(secret)}&r=1`])).toBe("?q=***&r=1");
    expect(redact({ [secret]: "***" }, [encodeURIComponent(secret).toLowerCase()])).toBe("***");
  });

  it("finds a multi-line secret with other line endings, without its last one, and line by line", () => {
    const key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----\n";

    expect(redact({ [key]: "***" }, [key.trimEnd().replaceAll("\n", "\r\n")])).toBe("***");
    expect(redact({ [key]: "***" }, ["1: MIIEvQIBADANBgkq\n2: hkiG9w0BAQEFAASC"])).toBe("1: ***\n2: ***");
  });

  it("finds a long value that base64 wrapped, with any line endings", () => {
    const key = `-----BEGIN KEY-----\n${"MIIEvQIBADANBgkqhkiG9w0BAQ/x+".repeat(9)}\n-----END KEY-----\n`;
    const encoded = Buffer.from(key).toString("base64");
    for (const width of [64, 76]) {
      for (const end of ["\n", "\r\n"]) {
        const lines = encoded.match(new RegExp(`.{1,${width}}`, "g")) ?? [];
        const out = redact({ [key]: "***" }, [lines.join(end)]);
        // The rest must not contain a complete base64 group of the value.
        expect(out.replaceAll("***", "").replace(/[\r\n]/g, "").length).toBeLessThan(4);
      }
    }
  });

  it.each<[string, string, (secret: string) => string | Buffer]>([
    ["hex", "s3cr3t-välue", (secret) => Buffer.from(secret).toString("hex")],
    ["large hex", "s3cr3t-välue", (secret) => Buffer.from(secret).toString("hex").toUpperCase()],
    ["JSON", 's3cr3t "quoted"\\ \n\tvalue', (secret) => JSON.stringify({ secret })],
    [
      "JSON in ASCII",
      "s3cr3t-välue ☃",
      (secret) => JSON.stringify(secret).replace("ä", "\\u00e4").replace("☃", "\\u2603"),
    ],
    ["JSON for HTML", "s3cr3t<&>value", () => '"s3cr3t\\u003c\\u0026\\u003evalue"'],
    ["a shell's single quotes", "it's a s3cr3t", (secret) => `'${secret.replaceAll("'", `'\\''`)}'`],
    ["a shell's double quotes", 's3cr3t "$x" `y` \\z', (secret) => `"${secret.replace(/["$`\\]/g, "\\$&")}"`],
    ["printf %q", "s3cr3t $(value) & more", () => "s3cr3t\\ \\$\\(value\\)\\ \\&\\ more"],
    ["$'…'", "line one's\nline two", () => "$'line one\\'s\\nline two'"],
    ["UTF-16, little-endian", "s3cr3t-välue", (secret) => Buffer.from(secret, "utf16le")],
    ["UTF-16, big-endian", "s3cr3t-välue", (secret) => Buffer.from(secret, "utf16le").swap16()],
    ["base64 at any offset", "p@ss/word?>>", (secret) => Buffer.from(`user:${secret}@host`).toString("base64")],
  ])("finds a value as %s, wherever it is split", (_, secret, encode) => {
    const text = Buffer.concat([Buffer.from("<"), Buffer.from(encode(secret) as string), Buffer.from(">")]);
    for (let cut = 0; cut <= text.length; cut += 1) {
      const out = redact({ [secret]: "***" }, [text.subarray(0, cut), text.subarray(cut)]);
      expect(out).toContain("***");
      expect(out.length).toBeLessThan(24);
    }
  });

  it("redacts a value even if the other stream prints in between", () => {
    const matcher = new SecretMatcher(secretPatterns({ "s3cr3t-value": "***" }));
    const streams = { stdout: new StreamRedactor(matcher), stderr: new StreamRedactor(matcher) };
    const out = { stdout: "", stderr: "" };
    const write = (stream: "stdout" | "stderr", text: string) => {
      out[stream] += Buffer.concat(streams[stream].write(Buffer.from(text))).toString();
    };
    for (const [index, letter] of [..."s3cr3t-value"].entries()) {
      write("stdout", letter);
      if (index % 3 === 0) write("stderr", `noise ${index}\n`);
    }
    for (const stream of ["stdout", "stderr"] as const) {
      out[stream] += Buffer.concat(streams[stream].end()).toString();
    }
    expect(out).toEqual({ stdout: "***", stderr: "noise 0\nnoise 3\nnoise 6\nnoise 9\n" });
  });

  it("gives the same result wherever the stream is split, for secrets nested in each other in all their forms", () => {
    const part = fc.constantFrom("ab", "abab", "a b", 'q"', "x'y", "ü", "\n", "0f", "/+");
    const secret = fc.array(part, { minLength: 2, maxLength: 5 }).map((parts) => parts.join(""));
    fc.assert(
      fc.property(
        fc.uniqueArray(secret, { minLength: 1, maxLength: 4 }),
        fc.array(
          fc.oneof(
            part.map((text) => Buffer.from(text)),
            fc.nat(200).map((n) => n),
          ),
          { maxLength: 12 },
        ),
        fc.array(fc.nat(400), { maxLength: 10 }),
        (secrets, pieces, cuts) => {
          const patterns = secretPatterns(Object.fromEntries(secrets.map((text, i) => [text, `[${i}]`])));
          const usable = patterns.filter(({ bytes }) => bytes.length >= 4);
          const text = Buffer.concat(
            pieces.map((piece) =>
              typeof piece === "number"
                ? (usable[piece % Math.max(1, usable.length)]?.bytes ?? Buffer.from("-"))
                : piece,
            ),
          );
          const matcher = new SecretMatcher(patterns);
          const run = (chunks: readonly Buffer[]) => {
            const redactor = new StreamRedactor(matcher);
            const output = chunks.flatMap((chunk) => redactor.write(Buffer.from(chunk)));
            return Buffer.concat([...output, ...redactor.end()]);
          };
          const places = [0, ...cuts.filter((cut) => cut < text.length).sort((a, b) => a - b), text.length];
          const output = run(places.slice(1).map((end, index) => text.subarray(places[index], end)));

          expect(output.equals(run([text]))).toBe(true);
          for (const value of secrets.filter((each) => Buffer.byteLength(each) >= 4)) {
            // Replacements are in brackets, so that a replacement and its neighbors can't form a secret by chance.
            expect(output.includes(value)).toBe(false);
          }
        },
      ),
      { numRuns: 1500 },
    );
  });

  it("does not blank the log because of a one-character secret", () => {
    expect(redact({ e: "***", ab: "***" }, ["the able seamen"])).toBe("the able seamen");
  });

  it("passes on bytes that are not text unchanged", () => {
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i));
    expect(Buffer.from(redact({ "s3cr3t-value": "***" }, [bytes]), "latin1").equals(bytes)).toBe(true);
  });

  it("redacts at least 100 MB/s with ten secrets and all their forms", () => {
    const secrets = Object.fromEntries(
      Array.from({ length: 10 }, (_, i) => [`secret-${i}-${"x".repeat(i + 12)}`, "***"]),
    );
    const redactor = new StreamRedactor(new SecretMatcher(secretPatterns(secrets)));
    const chunk = Buffer.from("2026-01-01T00:00:00Z INFO request handled status=200 durationMs=17\n".repeat(980));
    // Processor time, because the machine does other work meanwhile.
    const before = process.cpuUsage();
    for (let i = 0; i < 800; i += 1) redactor.write(chunk);
    const { user, system } = process.cpuUsage(before);
    const megabytesPerSecond = (800 * chunk.length) / (user + system);

    // Far below the actual speed (over 1 GB/s). Catches only drastic regressions.
    expect(megabytesPerSecond).toBeGreaterThan(100);
  });
});
