/**
 * What the executor calls itself on the wire. Instances read it as a semantic version: from 4.3.0 on (or `0.0.0+dev`)
 * they send payloads of version 2, so a development build says so instead of its own low number.
 */
export const executorVersion = "0.0.0+dev";
