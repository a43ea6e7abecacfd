#!/usr/bin/node
// Probe of Kubernetes: fails unless the Docker daemon at this socket answers.
import { get } from "node:http";

const [, , socketPath] = process.argv;
const request = get({ socketPath, path: "/_ping", timeout: 5000 }, (response) => {
  process.exit(response.statusCode === 200 ? 0 : 1);
});
const fail = () => process.exit(1);
request.on("error", fail).on("timeout", fail);
