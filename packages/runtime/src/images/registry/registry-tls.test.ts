import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
import { createServer, request } from "node:http";
import { createServer as createSecureServer } from "node:https";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { text } from "node:stream/consumers";
import { fileURLToPath } from "node:url";
import {
  busyboxImage,
  describeWithEngines,
  engines,
  makeCertificates,
  pushImage,
  type TestCertificates,
  temporaryDirectory,
} from "@airlock/test-kit";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { ImageStore } from "../store/image-store.ts";

const signal = new AbortController().signal;

// With an engine the registry has a non-loopback address. Plain HTTP is the default on the loopback.
describeWithEngines(["docker", "registry"], "a registry with a certificate of a private authority", () => {
  let stack: AsyncDisposableStack;
  let dir: string;
  let certificates: TestCertificates;
  let open: { readonly name: string; readonly image: string };
  let closed: { readonly name: string; readonly image: string };

  beforeAll(async () => {
    stack = new AsyncDisposableStack();
    dir = stack.use(await temporaryDirectory()).path;
    const registry = engines().registry?.address ?? expect.unreachable();
    const [host = "", port = ""] = registry.split(":");
    certificates = await makeCertificates(dir, `IP:${host}`);
    await pushImage(await busyboxImage(), { registry, repository: "tls/image" });
    const serve = async (wantsClient: boolean) => {
      const { ca, cert, key } = certificates;
      const server = createSecureServer(
        { ca, cert, key, requestCert: wantsClient, rejectUnauthorized: wantsClient },
        ({ url, method, headers }, response) => {
          const forwarded = request({ host, port, path: url, method, headers }, (answer) => {
            response.writeHead(answer.statusCode ?? 500, answer.headers);
            answer.pipe(response);
          });
          forwarded.end();
        },
      );
      await new Promise<void>((resolve) => server.listen(0, host, resolve));
      stack.defer(async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      });
      const name = `${host}:${(server.address() as AddressInfo).port}`;
      return { name, image: `${name}/tls/image:latest` };
    };
    open = await serve(false);
    closed = await serve(true);
  });
  afterAll(() => stack.disposeAsync());

  let stores = 0;
  async function prepare(image: string, certificatesDirectory?: string): Promise<unknown> {
    stores += 1;
    const store = await ImageStore.open({
      ...{ directory: join(dir, `store-${stores}`), style: "flat", keepOwners: false, idRange: null },
      registry: certificatesDirectory === undefined ? {} : { certificatesDirectory },
    });
    try {
      return await store.prepare(image, { signal, progress: () => {} });
    } finally {
      await store.close();
    }
  }

  it("is not trusted by default", async () => {
    await expect(prepare(open.image)).rejects.toMatchObject({ reason: "image-unavailable" });
  });

  it("is trusted if the directory of certificates has its authority, which does not affect other registries", async () => {
    const directory = join(dir, "certs.d");
    await mkdir(join(directory, open.name), { recursive: true });
    await writeFile(join(directory, open.name, "ca.crt"), certificates.ca);

    expect(await prepare(open.image, directory)).toMatchObject({ env: expect.arrayContaining(["FROM_IMAGE=yes"]) });
    await expect(prepare(closed.image, directory)).rejects.toMatchObject({ reason: "image-unavailable" });
  });

  it("that requires client certificates gets the one configured for it", async () => {
    const directory = join(dir, "client.d");
    await mkdir(join(directory, closed.name), { recursive: true });
    await writeFile(join(directory, closed.name, "ca.crt"), certificates.ca);
    await expect(prepare(closed.image, directory)).rejects.toMatchObject({ reason: "image-unavailable" });

    await writeFile(join(directory, closed.name, "client.cert"), certificates.cert);
    await writeFile(join(directory, closed.name, "client.key"), certificates.key);
    expect(await prepare(closed.image, directory)).toMatchObject({ layers: [expect.any(String)] });
  });

  it("is trusted by NODE_EXTRA_CA_CERTS", async () => {
    const child = spawn(process.execPath, [fileURLToPath(import.meta.resolve("../store/testing/hold-image.ts"))], {
      env: { STORE: join(dir, "child"), IMAGE: open.image, NODE_EXTRA_CA_CERTS: certificates.caFile },
      stdio: ["pipe", "pipe", "inherit"],
    });
    const [line] = await once(createInterface(child.stdout), "line");
    expect(line).toBe("held");
    child.kill("SIGKILL");
    await once(child, "exit");
  });
});

describe("a registry with a token service", () => {
  it("gets the token that the service issues for an identity token, or a token meant for the registry itself, and the service gets no password", async () => {
    await using directory = await temporaryDirectory();
    const image = await busyboxImage();
    const asked: string[] = [];
    const server = createServer(async (incoming, response) => {
      const { url = "", method, headers } = incoming;
      if (url.startsWith("/token")) {
        asked.push(`${method} ${headers.authorization ?? ""} ${await text(incoming)}`);
        response.end(JSON.stringify({ access_token: "made-of-identity" }));
        return;
      }
      if (!["Bearer made-of-identity", "Bearer as-it-is"].includes(headers.authorization ?? "")) {
        const realm = `http://${headers.host}/token`;
        response.writeHead(401, { "www-authenticate": `Bearer realm="${realm}",service="here"` }).end();
        return;
      }
      const found = [image.config, ...image.layers].find(({ digest }) => url.endsWith(digest)) ?? image.manifest;
      response.writeHead(200, { "content-type": found.mediaType }).end(found.bytes);
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    const registry = `127.0.0.1:${(server.address() as AddressInfo).port}`;
    try {
      for (const [index, token] of [{ identityToken: "the-identity" }, { registryToken: "as-it-is" }].entries()) {
        const store = await ImageStore.open({
          ...{ directory: join(directory.path, String(index)), style: "flat", keepOwners: false, idRange: null },
          registry: {},
        });
        const registryAuth = { [registry]: { username: "", password: "", ...token } };
        await store.prepare(`${registry}/x/y:1`, { signal, progress: () => {}, registryAuth });
        await store.close();
      }
    } finally {
      server.closeAllConnections();
      server.close();
    }

    expect(asked).toEqual([expect.stringMatching(/^POST {2}grant_type=refresh_token/)]);
    expect(asked[0]).toContain("refresh_token=the-identity");
    expect(asked[0]).toContain("scope=repository%3Ax%2Fy%3Apull");
  });
});
