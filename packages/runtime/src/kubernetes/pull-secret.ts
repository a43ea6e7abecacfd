import type { AirlockError } from "@airlock/job";
import type { V1Pod, V1Secret } from "@kubernetes/client-node";
import { type RegistryCredentials, refusedByPolicy } from "../contract/index.ts";
import { parseImageReference } from "../images/reference/image-reference.ts";

type RegistryAuth = Readonly<Record<string, RegistryCredentials>>;

/** How the kubelet finds Docker Hub's credentials. */
const hubKey = "https://index.docker.io/v1/";

/** The name of the Secret with a job's registry credentials. `null`: the job has none. */
export function pullSecretName(pod: string, auth: RegistryAuth | undefined): string | null {
  return auth !== undefined && Object.keys(auth).length > 0 ? `${pod}-pull` : null;
}

/** A Secret by which the kubelet pulls the images of one pod. Kubernetes deletes it with the pod. */
export function makePullSecret(name: string, pod: V1Pod, auth: RegistryAuth): V1Secret {
  const { name: owner = "", uid = "", labels = {} } = pod.metadata ?? {};
  const auths = Object.fromEntries(
    Object.entries(auth).map(([registry, { username, password }]) => [
      registry === "docker.io" ? hubKey : registry,
      { auth: Buffer.from(`${username}:${password}`).toString("base64") },
    ]),
  );
  return {
    metadata: {
      name,
      labels,
      ownerReferences: [{ apiVersion: "v1", kind: "Pod", name: owner, uid }],
    },
    type: "kubernetes.io/dockerconfigjson",
    immutable: true,
    data: { ".dockerconfigjson": Buffer.from(JSON.stringify({ auths })).toString("base64") },
  };
}

/**
 * Why an image can't be pulled with the job's credentials. `null`: it can. The kubelet reads only names and passwords
 * from Secrets.
 */
export function credentialsProblem(image: string, auth: RegistryAuth | undefined): AirlockError | null {
  const { registry } = parseImageReference(image);
  const credentials = auth?.[registry];
  if (credentials === undefined || credentials.username !== "") return null;
  return refusedByPolicy(
    `the job's credentials for ${registry} are a token without a user name, which Kubernetes does not accept`,
    "Give a user name and a password. Many registries accept the token as the password.",
  );
}
