import { describe, expect, it } from "vitest";
import { parseImageReference } from "./image-reference.ts";

const digest = `sha256:${"a".repeat(64)}`;

describe("parseImageReference", () => {
  it.each([
    ["alpine", "docker.io/library/alpine:latest"],
    ["alpine:3.20", "docker.io/library/alpine:3.20"],
    ["team/app", "docker.io/team/app:latest"],
    ["docker.io/alpine", "docker.io/library/alpine:latest"],
    ["index.docker.io/library/alpine", "docker.io/library/alpine:latest"],
    ["Docker.IO/library/alpine:3", "docker.io/library/alpine:3"],
    ["INDEX.docker.io:443/alpine", "docker.io/library/alpine:latest"],
    ["registry-1.docker.io/library/alpine", "docker.io/library/alpine:latest"],
    ["Registry.Example.com:0443/x", "registry.example.com/x:latest"],
    ["registry.example.com:05000/x", "registry.example.com:5000/x:latest"],
    ["0x7f.1:5000/app", "127.0.0.1:5000/app:latest"],
    ["127.1:443/app", "127.0.0.1:443/app:latest"],
    ["[0:0:0:0::1]:5000/app", "[::1]:5000/app:latest"],
    ["localhost/app", "localhost/app:latest"],
    ["localhost:5000/a/b/c:v1_2.3-x", "localhost:5000/a/b/c:v1_2.3-x"],
    ["[::1]:5000/app", "[::1]:5000/app:latest"],
    ["registry.example.com/a__b/c-d.e", "registry.example.com/a__b/c-d.e:latest"],
    [`alpine@${digest}`, `docker.io/library/alpine@${digest}`],
    [`localhost:1/x:tag@${digest}`, `localhost:1/x@${digest}`],
  ])("reads %s as %s", (text, canonical) => {
    expect(parseImageReference(text).canonical).toBe(canonical);
  });

  it.each([
    "",
    " ",
    "Alpine",
    "a b",
    "alpine:",
    "alpine:a/b:",
    "-alpine",
    "a//b",
    "../etc",
    "registry.example.com/../x",
    "user:pass@host/x",
    `x@${digest}@${digest}`,
    "x@sha256:abc",
    "x@md5:d41d8cd98f00b204e9800998ecf8427e",
    `${"a".repeat(600)}`,
    `a:${"t".repeat(129)}`,
    "http://registry/x",
    "host:99999999/x",
    "x\n",
    "x?y=z",
    "exa$mple.com/x",
  ])("refuses %j as the job's fault", (text) => {
    expect(() => parseImageReference(text)).toThrow(expect.objectContaining({ reason: "image-invalid" }));
  });
});
